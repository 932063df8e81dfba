//! The other process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use pmd_ixgbe_model::{Config, Model82599, Overrun};
use pmd_links::Loopback;
use vfio_user_kit::DeviceModel;
use vfio_user_kit::server::{IdlePolicy, Server, ServerOptions};

use crate::Result;
use crate::engine::Engine;

/// A server in a process of its own, until this is dropped.
pub(crate) struct Served {
    pub(crate) path: PathBuf,
    child: Child,
}

impl Served {
    pub(crate) fn engine(mapped: bool) -> Result<Served> {
        Served::start("serve-engine", mapped)
    }

    pub(crate) fn nic(mapped: bool) -> Result<Served> {
        Served::start("serve-nic", mapped)
    }

    fn start(what: &str, mapped: bool) -> Result<Served> {
        let path = std::env::temp_dir().join(format!("pmd-bench-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let doorbells = if mapped { "mapped" } else { "trapped" };
        let child = Command::new(std::env::current_exe()?).arg(what).arg(&path).arg(doorbells).spawn()?;
        let served = Served { path, child };
        let start = Instant::now();
        while !served.path.exists() {
            if start.elapsed() > Duration::from_secs(10) {
                return Err("the server does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A card that hears itself. It takes nothing in that the driver has no room for.
pub(crate) fn card() -> Model82599 {
    let config = Config { overrun: Overrun::Wait, ..Config::new([2, 0, 0, 0, 0, 1]) };
    Model82599::new(config, Box::new(Loopback::new(1024)))
}

pub(crate) fn engine(path: &Path, mapped: bool) -> Result<()> {
    serve(path, Engine::default(), mapped)
}

pub(crate) fn nic(path: &Path, mapped: bool) -> Result<()> {
    serve(path, card(), mapped)
}

fn serve(path: &Path, model: impl DeviceModel, mapped_doorbells: bool) -> Result<()> {
    let options = ServerOptions { mapped_doorbells, ..ServerOptions::default() };
    let mut server = Server::bind(path, model, options)?;
    Ok(server.serve(&AtomicBool::new(false), IdlePolicy::default())?)
}
