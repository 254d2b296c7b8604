//! `#[pirn_sim::test]`: a call of `pirn_sim::test::run(name, config, program)`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Expr, RangeLimits, Result};

use crate::misuse;
use crate::options::{Options, is_zero};

const KNOWN: &[&str] = &["seeds", "hosts", "workers", "tso", "strategy", "preempt", "faults"];

/// See [`crate::sim_test`].
pub(crate) fn test(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let attribute = "pirn_sim::test";
    let mut options = Options::read(attribute, KNOWN, options)?;
    let function = misuse::function(attribute, item)?;
    let hosts = options.take_positive("hosts")?.unwrap_or(1);
    let host = misuse::host_argument(&function, hosts)?;
    let config = config(&mut options, hosts)?;

    let attrs = &function.attrs;
    let vis = &function.vis;
    let name = &function.sig.ident;
    let (inputs, output, block) = (&function.sig.inputs, &function.sig.output, &function.block);
    let call = match host {
        Some(_) => quote!(#name(host)),
        None => quote!(#name()),
    };
    Ok(quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #name() {
            async fn #name(#inputs) #output #block
            ::pirn_sim::test::run(
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)),
                #config,
                |host: usize| {
                    let _ = host;
                    #call
                },
            );
        }
    })
}

/// The configuration as calls on `pirn_sim::test::Config`.
fn config(options: &mut Options, hosts: u64) -> Result<TokenStream> {
    let hosts = usize::try_from(hosts).unwrap_or(usize::MAX);
    let mut config = quote!(::pirn_sim::test::Config::new().hosts(#hosts));
    if let Some(seeds) = options.take("seeds") {
        if is_zero(&seeds) {
            return Err(Error::new_spanned(
                seeds,
                "a test without seeds tests nothing: `seeds` must be at least 1",
            ));
        }
        config = quote!(#config.seeds(#seeds));
    }
    if let Some(workers) = options.take("workers") {
        let range = range(workers)?;
        config = quote!(#config.workers(#range));
    }
    if let Some(tso) = options.take("tso") {
        config = quote!(#config.tso(#tso));
    }
    for (option, allowed) in
        [("strategy", &["mix", "stay", "pct", "uniform"][..]), ("preempt", &["everywhere", "os-calls"][..])]
    {
        let Some(value) = options.take_string(option)? else { continue };
        if !allowed.contains(&value.value().as_str()) {
            let allowed = allowed.join("\", \"");
            return Err(Error::new_spanned(value, format!("`{option}` is one of \"{allowed}\"")));
        }
        let setter = syn::Ident::new(option, value.span());
        config = quote!(#config.#setter(#value));
    }
    if let Some(faults) = options.take_string("faults")? {
        config = quote!(#config.faults(#faults));
    }
    Ok(config)
}

/// `N`, `A..B` and `A..=B` as a `RangeInclusive<usize>`.
fn range(workers: Expr) -> Result<TokenStream> {
    let zero = |at: &Expr| Error::new_spanned(at, "a host has at least one worker: `workers` starts at 1");
    match &workers {
        Expr::Range(range) => {
            let (Some(from), Some(to)) = (&range.start, &range.end) else {
                return Err(Error::new_spanned(
                    workers,
                    "`workers` takes a number or a range with both ends, as in `workers = 1..=3`",
                ));
            };
            if is_zero(from) {
                return Err(zero(from));
            }
            Ok(match range.limits {
                RangeLimits::Closed(_) => quote!((#from)..=(#to)),
                RangeLimits::HalfOpen(_) => quote!((#from)..=((#to) - 1)),
            })
        }
        one if is_zero(one) => Err(zero(one)),
        one => Ok(quote!((#one)..=(#one))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: TokenStream, item: TokenStream) -> String {
        test(options, item).expect_err("the misuse was accepted").to_string()
    }

    #[test]
    fn all_options_reach_the_config() {
        let text = test(
            quote!(
                seeds = 50,
                hosts = 2,
                workers = 1..4,
                tso = true,
                strategy = "pct",
                preempt = "os-calls",
                faults = "resets"
            ),
            quote!(
                async fn two(host: usize) -> Result<(), String> {
                    Ok(())
                }
            ),
        )
        .expect("a good test is refused")
        .to_string();
        let _: syn::File = syn::parse_str(&text).expect("the expansion is no Rust");
        for part in [
            ". hosts (2usize)",
            ". seeds (50)",
            "(1) ..= ((4) - 1)",
            ". tso (true)",
            ". strategy (\"pct\")",
            ". preempt (\"os-calls\")",
            ". faults (\"resets\")",
            "two (host)",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn misuse_is_refused_with_the_remedy() {
        let text = refused(
            quote!(),
            quote!(
                fn t() {}
            ),
        );
        assert!(text.contains("write `async fn t`"), "{text}");
        let text = refused(
            quote!(hosts = 2),
            quote!(
                async fn t() {}
            ),
        );
        assert!(text.contains("`async fn t(host: usize)`"), "{text}");
        let text = refused(
            quote!(),
            quote!(
                async fn t(a: usize, b: usize) {}
            ),
        );
        assert!(text.contains("at most one argument"), "{text}");
        let text = refused(
            quote!(hosts = 0),
            quote!(
                async fn t() {}
            ),
        );
        assert!(text.contains("at least 1"), "{text}");
        let text = refused(
            quote!(seeds = 0),
            quote!(
                async fn t() {}
            ),
        );
        assert!(text.contains("at least 1"), "{text}");
        let text = refused(
            quote!(workers = 0..=2),
            quote!(
                async fn t() {}
            ),
        );
        assert!(text.contains("starts at 1"), "{text}");
        let text = refused(
            quote!(workers = 1..),
            quote!(
                async fn t() {}
            ),
        );
        assert!(text.contains("both ends"), "{text}");
        let text = refused(
            quote!(strategy = "random"),
            quote!(
                async fn t() {}
            ),
        );
        assert!(text.contains("\"mix\", \"stay\""), "{text}");
        let text = refused(
            quote!(speed = 3),
            quote!(
                async fn t() {}
            ),
        );
        assert!(text.contains("it knows seeds, hosts"), "{text}");
    }
}
