//! Migration, with the kernel's sample serial port (mtty).

use vfio_hal::backend::vfio::{Api, Feature, VfioDevice};
use vfio_hal::bar::Width;
use vfio_hal::{Device, DeviceError};
use vfio_user_kit::proto::feature::MigrationState;

use crate::kit;

/// The scratch register of the serial port, which nothing else changes.
const SCRATCH: u64 = 7;

#[test]
#[ignore = "runs in a guest: scripts/guest/guest run vfio"]
fn migration_of_a_device() {
    let open = |name| {
        VfioDevice::open(&kit::address(name), &kit::options())
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let (source, target) = (open("KIT_MTTY"), open("KIT_MTTY2"));
    println!("{:?} {:?}", source.info(), source.migration_support());
    let support = source.migration_support().expect("an answer").expect("it migrates");
    assert!(support.stop_copy);
    assert_eq!(source.migration_state(), Ok(MigrationState::Running));
    assert_eq!(source.has_feature(Feature::MigrationState), Ok(true));
    source.write_region(0, SCRATCH, Width::W8, 0x5a).expect("a register");
    target.write_region(0, SCRATCH, Width::W8, 0x00).expect("a register");

    let stream = source.set_migration_state(MigrationState::StopCopy).expect("stop").expect("a stream");
    assert_eq!(source.migration_state(), Ok(MigrationState::StopCopy));
    let mut state = Vec::new();
    let mut piece = [0; 100];
    loop {
        match stream.read(&mut piece).expect("a piece") {
            0 => break,
            count => state.extend_from_slice(&piece[..count]),
        }
    }
    println!("{} bytes", state.len());
    assert!(!state.is_empty());
    drop(stream);

    let stream = target.set_migration_state(MigrationState::Resuming).expect("resume").expect("a stream");
    let mut rest = &state[..];
    while !rest.is_empty() {
        let taken = stream.write(rest).expect("a piece");
        rest = &rest[taken..];
    }
    drop(stream);
    assert!(target.set_migration_state(MigrationState::Running).expect("run").is_none());
    assert_eq!(target.migration_state(), Ok(MigrationState::Running));
    assert_eq!(target.read_region(0, SCRATCH, Width::W8), Ok(0x5a), "the state came along");
    assert!(source.set_migration_state(MigrationState::Running).expect("run").is_none());

    // A state that nobody may ask for.
    let error = source.set_migration_state(MigrationState::Error).map(drop);
    assert!(matches!(error, Err(DeviceError::System { .. })), "{error:?}");
    if kit::api() == Api::Iommufd {
        assert_eq!(source.fds().len(), 2);
    }
    assert!(source.name().len() == 36, "{}", source.name());
}
