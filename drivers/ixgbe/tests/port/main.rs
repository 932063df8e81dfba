//! The driver as a whole against the model of the 82599, through its public interface only.
//!
//! Nothing here runs in a second thread or on a real clock: the model does a step whenever the driver waits, and
//! whenever a test says so. `rig` has what all of them stand on, `frames` the packets.

mod control;
mod frames;
mod hostile;
mod inplace;
mod interrupts;
mod life;
mod long;
mod offload;
mod rig;
mod stalls;
mod start_fails;
mod vanish;
mod verdicts;
