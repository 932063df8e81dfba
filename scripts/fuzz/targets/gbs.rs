//! Bitstream files of random bytes: each is taken or refused with a reason, in bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmd_afu::gbs::Gbs;

fuzz_target!(|data: &[u8]| match Gbs::parse(data) {
    Ok(gbs) => {
        assert!(!gbs.data().is_empty() && gbs.data().len() % 4 == 0);
        assert!(gbs.clocks().low_mhz().is_none_or(|mhz| mhz != 0));
    }
    Err(error) => assert!(!error.to_string().is_empty()),
});
