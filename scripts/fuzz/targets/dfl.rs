//! Feature lists of random bytes in two BARs: every walk ends, reads nothing outside of them, and does not panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmd_afu::dfl::{MAX_FEATURES, Place, Words, walk};
use vfio_hal::DeviceError;

/// A BAR that knows its number and that nobody reads beyond its end.
struct Bar<'a>(u8, &'a [u8]);

impl Words for Bar<'_> {
    fn bar(&self) -> u8 {
        self.0
    }

    fn len(&self) -> u64 {
        self.1.len() as u64
    }

    fn word(&self, offset: u64) -> Result<u64, DeviceError> {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.1.len() as u64, "read at {offset:#x}");
        self.1.word(offset)
    }

    fn address(&self) -> Option<u64> {
        (self.0 == 2).then_some(0xf000_0000)
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&split, data)) = data.split_first() else { return };
    let (first, second) = data.split_at(data.len() * usize::from(split) / 255);
    let (first, second) = (Bar(0, first), Bar(2, second));
    let open = |index: u8| match index {
        0 => Some(&first),
        2 => Some(&second),
        _ => None,
    };
    for starts in
        [&[Place { bar: 0, offset: 0 }][..], &[Place { bar: 0, offset: 0 }, Place { bar: 2, offset: 0 }]]
    {
        if let Ok(features) = walk(starts, &open) {
            assert!(features.all().len() <= MAX_FEATURES);
            for feature in features.all() {
                assert!(feature.parent.is_none_or(|parent| parent < features.all().len()));
                let _ = feature.to_string();
            }
        }
    }
});
