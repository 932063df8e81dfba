//! The IOVA space and its regions: who sees what where, and when memory goes back.

mod devices;
mod fakes;
mod questions;
mod regions;
mod release;
