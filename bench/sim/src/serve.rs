//! A live echo server in a process that could simulate: what the points cost when nobody simulates.

use std::net::SocketAddr;

/// Serves for ever; prints its address, answers `cpu` with its CPU time in seconds, ends with its input.
pub(crate) fn serve(workers: usize) {
    let runtime = pirn::Builder::new()
        .workers(workers)
        .backend(pirn::Backend::Epoll)
        .build()
        .expect("pirn's runtime can't be built");
    runtime.block_on(async {
        let listener =
            pirn::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("bind");
        println!("{}", listener.local_addr().expect("the listener's address"));
        std::thread::spawn(answer);
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            pirn::spawn(async move {
                let mut bytes = vec![0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                    if stream.write_all(&bytes[..n]).await.is_err() {
                        return;
                    }
                }
            })
            .detach();
        }
    });
}

fn answer() {
    for line in std::io::stdin().lines() {
        match line.as_deref() {
            Ok("cpu") => println!("{}", cpu()),
            _ => break,
        }
    }
    std::process::exit(0);
}

/// CPU time of this process in seconds, in the kernel's nanoseconds: the sum over its live threads.
pub(crate) fn cpu() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return f64::NAN };
    let time = |path: std::path::PathBuf| -> Option<f64> {
        std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    threads.flatten().filter_map(|thread| time(thread.path())).sum::<f64>() / 1e9
}
