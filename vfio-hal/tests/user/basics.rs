//! Registers, configuration space, memory, interrupts, reset.

use vfio_hal::bar::Width;

use crate::common::{Served, reg};
use crate::kit::{Toy, options};

#[test]
fn registers_of_all_widths() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let at = reg::SCRATCH;
    toy.bar.write(at, Width::W64, 0x0102_0304_0506_0708).unwrap();
    assert_eq!(toy.bar.read(at, Width::W64), Ok(0x0102_0304_0506_0708));
    assert_eq!(toy.bar.read(at + 4, Width::W32), Ok(0x0102_0304));
    assert_eq!(toy.bar.read(at + 2, Width::W16), Ok(0x0506));
    assert_eq!(toy.bar.read(at + 7, Width::W8), Ok(0x01));
    toy.bar.write(at + 7, Width::W8, 0xff).unwrap();
    assert_eq!(toy.read(at + 4), 0xff02_0304);
    toy.bar.doorbell(reg::BELL).unwrap().ring(77);
    assert_eq!(toy.read(reg::BELL), 77);
}

#[test]
fn memory_with_a_file_and_without() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let (shared, private) = (toy.shared(8192), toy.private(8192));
    toy.check_dma(&shared, 3);
    toy.check_dma(&private, 5);
    drop((shared, private));
    let stats = toy.space.stats();
    assert_eq!((stats.regions, stats.leaked_regions), (0, 0));
}
