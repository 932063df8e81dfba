//! An accelerator in one page: opened by its name, given two buffers, run, checked.
//!
//!     cargo run --release --example accelerate
//!
//! Read it from top to bottom. `main` makes an FPGA card and copies a buffer with the accelerator in one of its ports. The
//! card is a model in this process; the driver does not know that, and with a real card only `card` would be another.

use std::error::Error;
use std::sync::Arc;

use pmd_afu::accel::loopback::{Buffers, Mode};
use pmd_afu::accel::nlb0::{Config, LINE, Nlb0};
use pmd_afu::accel::{Accelerator, Memory};
use pmd_afu::{Card, Sharing, guid};
use pmd_afu_model::{AfuKind, AfuModel, Config as Model};
use vfio_hal::Device;
use vfio_hal::backend::local::{Idle, LocalDevice, LocalOptions, ModelThread};
use vfio_hal::clock::MonotonicClock;
use vfio_hal::dma::memory::Request;
use vfio_hal::dma::{DmaAccess, IovaSpace, Region};

/// How much is copied.
const BYTES: usize = 256 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    // A card. Its model works on a thread of its own, as a card works by itself.
    let (device, _model) = card()?;

    // The driver walks the card's feature lists and takes its ports out of reset.
    let card = Card::open(device, Arc::new(MonotonicClock::new()))?;
    for accelerator in card.accelerators() {
        let name = accelerator.guid.and_then(guid::name).unwrap_or("an accelerator");
        println!("port {:?}: {name}, {} bytes of registers", accelerator.port, accelerator.mmio_size);
    }

    // An address space that the card sees, and in it two buffers: the card may read one and write the other. Memory comes
    // in hugepages where there are any.
    let space = IovaSpace::new();
    card.attach(&space)?;
    let source = buffer(&space, DmaAccess::Read)?;
    let destination = buffer(&space, DmaAccess::Write)?;
    let message: Vec<u8> = (0..BYTES).map(|byte| (byte * 31 % 251) as u8).collect();
    source.copy_in(0, &message)?;

    // The accelerator, by its GUID, for us alone. The driver of native loopback takes it over; it keeps a status block of
    // its own in the same space.
    let afu = card.open_afu(guid::NLB0, Sharing::Exclusive)?;
    let mut loopback = Nlb0::attach(afu, &Memory::new(&space))?;

    // Run. The accelerator reads lines of 64 bytes from one buffer and writes them to the other, by DMA. If it does not
    // finish in time, the driver resets it, and the buffers are ours again.
    let test = Config {
        mode: Mode::Loopback,
        lines: (BYTES as u64 / LINE) as u32,
        lines_per_request: 4,
        ..Config::default()
    };
    let report = loopback.run(&test, &Buffers { source: &source, destination: &destination })?;

    // Check: what it says, and what it did.
    let mhz = report.mhz.unwrap_or(350);
    println!("{} lines read, {} written, {} clocks", report.reads, report.writes, report.clocks);
    println!("{:.2} GB/s by the accelerator's clock of {mhz} MHz", report.bandwidth(mhz));
    let mut copy = vec![0; BYTES];
    destination.copy_out(0, &mut copy)?;
    if copy != message {
        return Err("the copy differs from what was sent".into());
    }
    println!("PASS: {BYTES} bytes are the same");

    // The accelerator goes first: its port is reset when the last handle is dropped. Then the buffers are unmapped.
    drop(loopback);
    Ok(())
}

/// Maps a buffer for the card.
fn buffer(space: &IovaSpace, access: DmaAccess) -> Result<Region, Box<dyn Error>> {
    let memory = Request::new(BYTES as u64).alloc()?;
    println!("a buffer to {access:?}: {}", memory.info());
    Ok(Region::alloc(space, memory, access)?)
}

/// Makes a card with native loopback in its only port.
fn card() -> Result<(Arc<dyn Device>, ModelThread), Box<dyn Error>> {
    let model = AfuModel::new(Model::with_ports(&[AfuKind::Nlb0]));
    let device = LocalDevice::new("afu0", model, LocalOptions::default())?;
    let thread = device.stepper().spawn(Idle::default())?;
    Ok((device, thread))
}
