//! Buffers in large pages, and such that the card may only read.

use std::fs;

use pmd_afu::Sharing;
use pmd_afu::accel::Accelerator;
use pmd_afu::accel::he::{Config as Test, HostExerciser};
use pmd_afu::accel::loopback::{Buffers, Mode};
use pmd_afu_model::{AfuKind, Config};
use vfio_hal::dma::memory::{Pages, Request};
use vfio_hal::dma::{DmaAccess, Region};

use crate::bench::Bench;

const GIBIBYTE: u64 = 1 << 30;

/// Reserves a page of a gibibyte for the test, as root and where memory is not too scattered.
struct Reserved(Option<(String, u64)>);

impl Reserved {
    fn new() -> Reserved {
        let path = String::from("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages");
        let wanted = std::env::var("KIT_ROOT_TESTS").is_ok_and(|value| value == "1");
        let read = || fs::read_to_string(&path).ok()?.trim().parse::<u64>().ok();
        let Some(before) = read().filter(|_| wanted) else { return Reserved(None) };
        let write = |name: &str, value: &str| fs::write(name, value).expect("root may");
        for _ in 0..4 {
            write(&path, &(before + 1).to_string());
            if read() > Some(before) {
                return Reserved(Some((path, before)));
            }
            write("/proc/sys/vm/drop_caches", "3");
            write("/proc/sys/vm/compact_memory", "1");
        }
        Reserved(None)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some((path, before)) = &self.0 {
            fs::write(path, before.to_string()).expect("root may");
        }
    }
}

#[test]
fn a_page_of_a_gibibyte_is_a_buffer_and_its_last_bytes_are_reached() {
    let reserved = Reserved::new();
    let request = Request::new(GIBIBYTE).pages(Pages::Size1G);
    let (len, memory) = match &reserved.0 {
        Some(_) => (GIBIBYTE, request.exactly().alloc().unwrap()),
        // Without one, a smaller request must fall back, and say so.
        None => (1 << 20, Request::new(1 << 20).pages(Pages::Size1G).alloc().unwrap()),
    };
    let info = memory.info();
    assert_eq!(
        (info.page == GIBIBYTE, info.fallback.is_none()),
        (reserved.0.is_some(), reserved.0.is_some())
    );
    let bench = Bench::new(Config::with_ports(&[AfuKind::HeLpbk]));
    let card = bench.card();
    let mut he = HostExerciser::open(&card, Sharing::Exclusive, &bench.memory).unwrap();
    let destination = Region::alloc(&bench.space, memory, DmaAccess::ReadWrite).unwrap();
    assert!(destination.len() as u64 >= len);
    let source = bench.buffer(1 << 20, DmaAccess::Read);
    let buffers = Buffers { source: &source, destination: &destination };
    let test = Test { mode: Mode::Loopback, lines: 1024, length: 4, ..Test::default() };
    let end = destination.len() - 64;
    destination.copy_in(end, &[0xa5; 64]).unwrap();
    let pattern = he.prepare(&test, &buffers, 7).unwrap();
    let report = he.run(&test, &buffers).unwrap();
    assert_eq!((report.reads, report.writes), (1024, 1024));
    assert_eq!(he.verify(&test, &buffers, &pattern).unwrap(), None);
    let mut last = [0; 64];
    destination.copy_out(end, &mut last).unwrap();
    assert_eq!(last, [0xa5; 64], "the card wrote what it was told to and no more");
}
