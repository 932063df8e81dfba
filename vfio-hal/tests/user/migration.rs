//! A device moves to another server, and the log of pages that it wrote.

use vfio_hal::backend::user::{UserDevice, UserError};
use vfio_hal::bar::Width;
use vfio_user_kit::client::{ClientError, MigrationSupport};
use vfio_user_kit::proto::feature::MigrationState;

use crate::common::{Served, reg};
use crate::kit::{Toy, options};

fn read_all(device: &UserDevice, piece: usize) -> Vec<u8> {
    let (mut all, mut data) = (Vec::new(), vec![0; piece]);
    loop {
        let count = device.migration_read(&mut data).unwrap();
        all.extend_from_slice(&data[..count]);
        if count < piece {
            return all;
        }
    }
}

#[test]
fn state_moves_to_another_server() {
    let (from, to) = (Served::start(), Served::start());
    let (source, target) = (Toy::open(&from.path, &options()), Toy::open(&to.path, &options()));
    let both = MigrationSupport { stop_copy: true, pre_copy: true };
    assert_eq!(source.device.migration_support(), Ok(Some(both)));
    source.bar.write(reg::SCRATCH, Width::W64, 0x1234_5678_9abc_def0).unwrap();
    source.device.set_migration_state(MigrationState::PreCopy).unwrap();
    let mut stream = read_all(&source.device, 777);
    // It runs, and changes.
    source.bar.write(reg::SCRATCH + 8, Width::W64, 42).unwrap();
    source.device.set_migration_state(MigrationState::StopCopy).unwrap();
    stream.extend(read_all(&source.device, 3 << 20));
    assert_eq!(source.device.migration_state(), Ok(MigrationState::StopCopy));
    target.device.set_migration_state(MigrationState::Resuming).unwrap();
    stream.chunks(1001).for_each(|part| target.device.migration_write(part).unwrap());
    target.device.set_migration_state(MigrationState::Running).unwrap();
    assert_eq!(target.bar.read(reg::SCRATCH, Width::W64), Ok(0x1234_5678_9abc_def0));
    assert_eq!(target.bar.read(reg::SCRATCH + 8, Width::W64), Ok(42));
    let error = target.device.migration_read(&mut [0; 8]).unwrap_err();
    assert!(matches!(error, UserError::Client(ClientError::Refused { .. })), "{error}");
}

#[test]
fn written_pages_are_logged_however_memory_is_reached() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    for region in [toy.shared(16 << 12), toy.private(16 << 12)] {
        let first = region.iova().0;
        assert_eq!(toy.device.start_dirty_log(4096, &[(first, 16 << 12)]), Ok(4096));
        assert_eq!(toy.act(reg::WRITE, first + 4096 * 3 + 4000, 200), reg::DONE);
        let dirty = toy.device.dirty_pages(first, 16 << 12, 4096).unwrap();
        assert_eq!(dirty.pages().collect::<Vec<_>>(), [first + 4096 * 3, first + 4096 * 4]);
        let again = toy.device.dirty_pages(first, 16 << 12, 4096).unwrap();
        assert_eq!(again.pages().count(), 0, "a report clears the log");
        toy.device.stop_dirty_log().unwrap();
        assert!(toy.device.dirty_pages(first, 16 << 12, 4096).is_err());
    }
    assert!(toy.device.dirty_pages(0, 4096, 3).is_err());
    assert!(toy.device.dirty_pages(u64::MAX, 4096, 4096).is_err());
    assert_eq!(toy.device.fault(), None);
}

#[test]
fn features_of_the_devices_own() {
    let served = Served::start();
    let toy = Toy::open(&served.path, &options());
    let flags = toy.device.feature_get(1, &[], 8).unwrap();
    assert_eq!(flags, 5u64.to_ne_bytes());
    let error = toy.device.feature_set(999, &[1]).unwrap_err();
    let UserError::Client(ClientError::Refused { errno, .. }) = error else { panic!("{error}") };
    assert_eq!(errno, rustix::io::Errno::NOTTY);
}
