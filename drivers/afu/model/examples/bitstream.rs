//! Writes a bitstream that the model takes: `bitstream AFU FILE [INTERFACE-ID [DATA-BYTES]]`.
//!
//! It is what follows the metadata in a GBS file, and what the kernel's ioctl takes. Without an interface id it is for the
//! model's default card.

use std::error::Error;

use pmd_afu_model::{AfuKind, Config, bitstream};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let usage = "usage: bitstream AFU FILE [INTERFACE-ID [DATA-BYTES]]";
    let (Some(afu), Some(file)) = (words.next(), words.next()) else { return Err(usage.into()) };
    let interface = match words.next() {
        Some(id) => id.parse()?,
        None => Config::default().interface_id,
    };
    let data = words.next().map_or(Ok(4096), |bytes| bytes.parse())?;
    let afu: AfuKind = afu.parse()?;
    std::fs::write(file, bitstream::build(interface, afu.guid(), data))?;
    Ok(())
}
