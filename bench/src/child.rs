//! Every measurement runs in a process of its own: this binary, called again with a hidden subcommand. A child prints
//! its figures as lines `name value` on its standard output.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Figures by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// The path of this program.
pub(crate) fn own_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("this program's own path is unknown: {error}"))
}

/// Runs `bench <arguments>` to its end and returns what it printed.
pub(crate) fn run(arguments: &[&str]) -> Result<Figures, String> {
    let output = Command::new(own_program()?)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("the child `{}` did not start: {error}", arguments.join(" ")))?;
    if !output.status.success() {
        return Err(format!("the child `{}` ended with {}", arguments.join(" "), output.status));
    }
    figures(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `name value` lines.
pub(crate) fn figures(text: &str) -> Result<Figures, String> {
    let mut figures = Figures::new();
    for line in text.lines() {
        let parsed =
            line.split_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        let (name, value) = parsed.ok_or_else(|| format!("a child printed `{line}`, which is no figure"))?;
        figures.insert(name, value);
    }
    Ok(figures)
}

/// A server in a process of its own.
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `program serve <arguments>` and waits until it listens.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Result<Self, String> {
        let mut child = Command::new(program)
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the server {} did not start: {error}", program.display()))?;
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().expect("the child's output is piped"));
        let mut line = String::new();
        stdout
            .read_line(&mut line)
            .map_err(|error| format!("the server's address can't be read: {error}"))?;
        let address =
            line.trim().parse().map_err(|_| format!("the server printed `{line}`, not its address"))?;
        Ok(Self { child, stdin, stdout, address })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time its process has used, in seconds.
    pub(crate) fn cpu(&mut self) -> Result<f64, String> {
        let broken = |error: std::io::Error| format!("the server does not answer: {error}");
        let stdin = self.stdin.as_mut().expect("the pipe is open until the server is dropped");
        stdin.write_all(b"cpu\n").map_err(broken)?;
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(broken)?;
        line.trim().parse().map_err(|_| format!("the server printed `{line}`, not its CPU time"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

/// The server's side: prints the address, answers `cpu` and ends the process when its input does.
pub(crate) fn announce(address: SocketAddr) {
    println!("{address}");
    std::thread::spawn(|| {
        for line in std::io::stdin().lines() {
            match line.as_deref() {
                Ok("cpu") => println!("{}", process_cpu()),
                _ => break,
            }
        }
        std::process::exit(0);
    });
}

/// CPU time of this process, user and system, in seconds.
pub(crate) fn process_cpu() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage writes a whole rusage to the pointer, which is valid for that; zeroed is a value of it anyway.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
