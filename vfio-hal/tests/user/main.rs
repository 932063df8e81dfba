//! A device on a socket, served by a model in another thread.

mod basics;
#[path = "../../vfio-user/tests/common/mod.rs"]
mod common;
mod kit;
