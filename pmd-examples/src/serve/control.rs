//! Orders for a device from standard input, a line each.
//!
//! A thread of its own reads them, so that nothing waits for a user who says nothing. It ends with the input, or with the
//! process.

use std::io::BufRead;
use std::sync::mpsc::channel;
use std::thread;

use pmd_afu_model::Control;
use pmd_afu_model::command::{Command, HELP};

use crate::fault::Fault;
use crate::note;

/// Starts to listen, and returns when the thread is there.
pub(super) fn listen(control: Control) -> Result<(), Fault> {
    let (ready, is_ready) = channel();
    let read = move || {
        let _: Result<(), _> = ready.send(());
        for line in std::io::stdin().lock().lines() {
            match line.as_deref().map(str::trim) {
                Ok("") => {}
                Ok("help") => note!("{HELP}"),
                Ok(line) => match line.parse::<Command>() {
                    Ok(command) => {
                        control.run(command);
                        note!("done: {line}");
                    }
                    Err(error) => note!("{line}: {error}"),
                },
                Err(error) => return note!("standard input: {error}"),
            }
        }
    };
    thread::Builder::new()
        .name("control".into())
        .spawn(read)
        .map_err(|error| Fault::Run(format!("cannot start a thread for standard input: {error}")))?;
    is_ready.recv().map_err(|_| Fault::Run("the thread for standard input ended before it began".into()))
}
