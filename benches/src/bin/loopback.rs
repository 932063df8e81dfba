//! Loopback bandwidth of the FPGA card's model, beside a plain copy of the same size in the same run; draws `loopback.svg`.
//!
//! Everything runs on one thread: the driver's clock lets the model work whenever the driver waits. The model's own clock is
//! set so high that the machine decides the pace. A time is the driver's whole call: registers, buffers, status block.
#![forbid(unsafe_code)]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plotters::prelude::*;
use pmd_afu::accel::he::{self, HostExerciser};
use pmd_afu::accel::loopback::Buffers;
use pmd_afu::accel::nlb0::{self, Nlb0};
use pmd_afu::accel::{Accelerator, Memory};
use pmd_afu::{Card, Sharing};
use pmd_afu_model::{AfuKind, AfuModel};
use serde_json::json;
use vfio_hal::Clock;
use vfio_hal::backend::local::{LocalDevice, LocalOptions, Stepper};
use vfio_hal::clock::MonotonicClock;
use vfio_hal::dma::{DmaAccess, IovaSpace};

/// Sizes in bytes.
const SIZES: [usize; 7] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];
/// How long each size is measured, with at least three rounds of all ways in turn, so that all meet the same machine.
const TIME: Duration = Duration::from_millis(500);
const LINE: usize = 64;

/// Real time; waiting lets the model work.
struct Working {
    clock: MonotonicClock,
    model: Stepper<AfuModel>,
}

impl Clock for Working {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wait(&self, _: Duration) {
        self.model.run_until_idle(u32::MAX);
    }
}

/// A card with one accelerator.
fn card(kind: AfuKind) -> Result<Card, Box<dyn Error>> {
    let config = pmd_afu_model::Config { clock_mhz: u16::MAX, ..pmd_afu_model::Config::with_ports(&[kind]) };
    let device = LocalDevice::new("afu0", AfuModel::new(config), LocalOptions::default())?;
    let clock = Working { clock: MonotonicClock::new(), model: device.stepper() };
    Ok(Card::open(device, Arc::new(clock))?)
}

/// One way to copy, and its line of the plot.
struct Series {
    name: &'static str,
    color: RGBColor,
    /// GB/s of the best round, for each size.
    rates: Vec<f64>,
}

/// The fastest of several rounds.
#[derive(Clone, Copy)]
struct Best(Duration);

impl Best {
    fn time(&mut self, once: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        once()?;
        self.0 = self.0.min(start.elapsed());
        Ok(())
    }

    fn rate(self, bytes: usize) -> f64 {
        bytes as f64 / self.0.as_secs_f64() / 1e9
    }
}

/// All ways to copy.
struct Ways {
    memory: Memory,
    nlb: Nlb0,
    exercisers: [HostExerciser; 2],
}

impl Ways {
    fn new() -> Result<Ways, Box<dyn Error>> {
        let memory = Memory::new(&IovaSpace::new());
        let exerciser = |kind| -> Result<_, Box<dyn Error>> {
            Ok(HostExerciser::open(&card(kind)?, Sharing::Exclusive, &memory)?)
        };
        let exercisers = [exerciser(AfuKind::HeLpbk)?, exerciser(AfuKind::HeMem)?];
        Ok(Ways { nlb: Nlb0::open(&card(AfuKind::Nlb0)?, Sharing::Exclusive, &memory)?, exercisers, memory })
    }

    /// Measures one size: plain copy, NLB0, HE-LBK, HE-MEM. The data are checked.
    fn measure(&mut self, bytes: usize) -> Result<[f64; 4], Box<dyn Error>> {
        let lines = (bytes / LINE) as u32;
        let (plain, mut copied) = (vec![0x5Au8; bytes], vec![0xA5u8; bytes]);
        let region = |access, name| self.memory.buffer(bytes, access, name);
        let source = region(DmaAccess::Read, "source")?;
        let destinations = [(); 3].map(|()| region(DmaAccess::Write, "destination"));
        let [native, direct, through] = destinations;
        let [native, direct, through] = [native?, direct?, through?];
        let to = |destination| Buffers { source: &source, destination };
        let native_test = nlb0::Config { lines, lines_per_request: 4, ..Default::default() };
        let test = he::Config { lines, length: 16, ..Default::default() };
        let [lbk, mem] = &mut self.exercisers;
        let pattern = lbk.prepare(&test, &to(&direct), bytes as u64)?;

        let mut best = [Best(Duration::MAX); 4];
        let (end, mut rounds) = (Instant::now() + TIME, 0);
        while rounds < 3 || Instant::now() < end {
            rounds += 1;
            best[0].time(|| {
                copied.copy_from_slice(black_box(&plain));
                black_box(&mut copied);
                Ok(())
            })?;
            best[1].time(|| Ok(self.nlb.run(&native_test, &to(&native)).map(|_| ())?))?;
            best[2].time(|| Ok(lbk.run(&test, &to(&direct)).map(|_| ())?))?;
            best[3].time(|| Ok(mem.run(&test, &to(&through)).map(|_| ())?))?;
        }
        for destination in [&native, &direct, &through] {
            if let Some(mismatch) = lbk.verify(&test, &to(destination), &pattern)? {
                return Err(mismatch.to_string().into());
            }
        }
        Ok(best.map(|best| best.rate(bytes)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let svg = std::env::args().nth(1).ok_or("say which SVG file to write")?;
    let series = |name, color| Series { name, color, rates: Vec::new() };
    let mut all = [
        series("copy_from_slice", RGBColor(0x88, 0x88, 0x88)),
        series("NLB0", RGBColor(0x1f, 0x77, 0xb4)),
        series("HE-LBK", RGBColor(0x2c, 0xa0, 0x2c)),
        series("HE-MEM, through the card's memory", RGBColor(0xd6, 0x27, 0x28)),
    ];
    let mut ways = Ways::new()?;
    for bytes in SIZES {
        for (one, rate) in all.iter_mut().zip(ways.measure(bytes)?) {
            one.rates.push((rate * 100.0).round() / 100.0);
        }
    }
    let figures: serde_json::Map<_, _> = all.iter().map(|one| (one.name.into(), json!(one.rates))).collect();
    println!("{}", json!({ "bytes": SIZES, "gigabytes_per_second": figures }));
    draw(Path::new(&svg), &all)
}

fn draw(path: &Path, all: &[Series]) -> Result<(), Box<dyn Error>> {
    let most = all.iter().flat_map(|one| &one.rates).copied().fold(1.0, f64::max) * 1.4;
    let root = SVGBackend::new(path, (760, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Loopback through the card's model, and a plain copy", ("sans-serif", 17))
        .margin(12)
        .margin_right(28)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0..SIZES.len() - 1, 0.0..most)?;
    let label = |place: &usize| match SIZES.get(*place) {
        Some(bytes) if *bytes < 1 << 20 => format!("{} KiB", bytes >> 10),
        Some(bytes) => format!("{} MiB", bytes >> 20),
        None => String::new(),
    };
    chart
        .configure_mesh()
        .x_labels(SIZES.len())
        .x_label_formatter(&label)
        .x_desc("bytes copied in one call")
        .y_desc("GB/s")
        .draw()?;
    for one in all {
        let points = || one.rates.iter().copied().enumerate();
        let color = one.color;
        chart
            .draw_series([PathElement::new(points().collect::<Vec<_>>(), color.stroke_width(2))])?
            .label(one.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart.draw_series(points().map(|point| Circle::new(point, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(0xcc, 0xcc, 0xcc))
        .label_font(("sans-serif", 13))
        .draw()?;
    root.present()?;
    Ok(())
}
