//! A dump at each signal: a thread of its own with a small runtime, which listens when every worker of the watched one is stuck.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Weak};

use crate::os::{Os, ThreadSpec};
use crate::runtime::Builder;
use crate::sched::Shared;
use crate::signal::{Signal, SignalKind, signal};
use crate::task::AbortHandle;

/// The listener of one runtime; it ends with this.
pub(crate) struct Listener(AbortHandle);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has `shared` dumped into `folder` at each signal; returns when that is so.
pub(crate) fn listen(shared: &Arc<Shared>, kind: SignalKind, folder: PathBuf) -> io::Result<Listener> {
    let (told, hear) = sync_channel(1);
    let (os, weak) = (shared.os.clone(), Arc::downgrade(shared));
    let spec = ThreadSpec { name: "pirn-dump".into(), stack: None };
    let body = move || run(os, weak, kind, folder, &told);
    shared.os.spawn_thread(spec, Box::new(body))?;
    let lost = || io::Error::other("the thread that dumps on a signal ended before it listened");
    let started = hear.recv().map_err(|_| lost())?;
    started.map(Listener).map_err(|error| {
        let number = kind.as_raw();
        io::Error::new(
            error.kind(),
            format!("dump_on_signal: signal {number} can't be listened for: {error}"),
        )
    })
}

type Told = SyncSender<io::Result<AbortHandle>>;

fn run(os: Arc<dyn Os>, shared: Weak<Shared>, kind: SignalKind, folder: PathBuf, told: &Told) {
    let runtime = match Builder::new().os(os).workers(1).build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(told.send(Err(error))),
    };
    runtime.block_on(async {
        let signal = match signal(kind) {
            Ok(signal) => signal,
            Err(error) => return drop(told.send(Err(error))),
        };
        let task = crate::spawn_local(serve(signal, shared, folder));
        let _ = told.send(Ok(task.abort_handle()));
        // Aborted, with the runtime it watches.
        let _ = task.await;
    });
}

async fn serve(signal: Signal, shared: Weak<Shared>, folder: PathBuf) {
    while signal.recv().await.is_ok() {
        let Some(shared) = shared.upgrade() else { return };
        save(&shared, &format!("signal {}", signal.kind().as_raw()), &folder);
    }
}

/// Takes a dump and says on standard error where it is, or why not.
pub(crate) fn save(shared: &Shared, reason: &str, folder: &std::path::Path) {
    match super::take(shared, reason).save_in(folder) {
        Ok(path) => eprintln!("pirn: {reason}: a dump was written to {}", path.display()),
        Err(error) => eprintln!("pirn: {reason}: {error}"),
    }
}
