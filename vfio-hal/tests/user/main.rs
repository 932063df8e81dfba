//! A device on a socket, served by a model in another thread.

mod basics;
#[path = "../../vfio-user/tests/common/mod.rs"]
mod common;
mod interrupts;
mod kit;
mod life;
mod mapped;
mod migration;
mod reconnect;
#[path = "../../vfio-user/tests/client/wire.rs"]
mod wire;
