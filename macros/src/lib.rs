//! The attributes `#[pirn::main]`, `#[pirn::test]` and `#[pirn_sim::test]`. Use them through `pirn` and `pirn_sim`,
//! which re-export them; the code they expand to names only those two crates.

use proc_macro::TokenStream;

mod live;
mod misuse;
mod options;
mod simulated;

/// Makes an `async fn main` the program's `main`: builds a runtime and blocks on the function's body.
///
/// The body runs on seat 0 and needs to be neither `Send` nor `'static`. The function may return whatever a `main` may
/// return. Panics if the runtime cannot be built.
///
/// `workers = N` sets the number of workers (default: one for each CPU the process may use).
///
/// ```ignore
/// #[pirn::main(workers = 2)]
/// async fn main() -> std::io::Result<()> {
///     let listener = pirn::net::TcpListener::bind("127.0.0.1:0").await?;
///     println!("listening on {}", listener.local_addr()?);
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    finish(live::main(options.into(), item.into()))
}

/// Makes an `async fn` a test that runs live, on a runtime of its own.
///
/// The function takes no arguments and returns what a test may return; `#[should_panic]` and `#[ignore]` work as usual.
/// `workers = N` sets the number of workers (default: 1).
///
/// ```ignore
/// #[pirn::test(workers = 2)]
/// async fn a_spawned_task_returns_its_value() {
///     assert_eq!(pirn::spawn(async { 7 }).await.unwrap(), 7);
/// }
/// ```
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    finish(live::test(options.into(), item.into()))
}

/// Makes an `async fn` a test that runs simulated, once for each of many seeds. Re-exported as `#[pirn_sim::test]`.
///
/// The function is the main program of a host. With `hosts = N` it runs once on each of N hosts and takes the host's
/// number (0 to N - 1) as its one argument; the run ends when all hosts have returned. It may return `()` or a `Result`
/// whose error is `Debug`; a panic, an error, a broken invariant, a deadlock or a livelock fails the test.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `seeds = N` | executions, each from its own seed | 100 |
/// | `hosts = N` | hosts, with addresses 10.0.0.1 and up | 1 |
/// | `workers = N` or `A..=B` | workers of each host, drawn from the seed | `1..=3` |
/// | `tso = true` | half of the seeds run with store buffers | `false` |
/// | `strategy = "..."` | `mix`, `stay`, `pct`, `pos`, `uniform`, `dfs` or `portfolio`, some with a number (see `pirn_sim::Strategy`) | `"mix"` |
/// | `preempt = "..."` | `everywhere` or `os-calls` (faster; hides every race of a wake inside a poll) | `"everywhere"` |
/// | `faults = "..."` | a list of faults, separated by commas (see `pirn_sim::Faults`) | none |
///
/// From the environment: `PIRN_SEEDS=N` replaces the number of seeds, `PIRN_SEED=S` runs that one seed and
/// `PIRN_TRACE=file` replays that trace strictly.
#[proc_macro_attribute]
pub fn sim_test(options: TokenStream, item: TokenStream) -> TokenStream {
    finish(simulated::test(options.into(), item.into()))
}

fn finish(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
