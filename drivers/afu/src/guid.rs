//! The names of things on a card: what a FME, a port and each accelerator says of itself.
//!
//! A GUID is a [`Uuid`]; registers hold it as two 64-bit words, the low one first, and [`of_words`] joins them. The
//! constants are the accelerators that the kit has drivers for, and the two FIUs.

pub use uuid::Uuid;
use uuid::uuid;

/// The FPGA management engine (OPAE, `FPGA_FME_GUID`).
pub const FME: Uuid = uuid!("bfaf2ae9-4a52-46e3-82fe-38f0f9e17764");
/// A port (OPAE, `FPGA_PORT_GUID`).
pub const PORT: Uuid = uuid!("3ab49893-138d-42eb-9642-b06c6b355b87");
/// Native loopback, mode 0 (OPAE, `hello_fpga`).
pub const NLB0: Uuid = uuid!("d8424dc4-a4a3-c413-f89e-433683f9040b");
/// Host exerciser, loopback (OFS).
pub const HE_LBK: Uuid = uuid!("56e203e9-864f-49a7-b94b-12284c31e02b");
/// Host exerciser, through local memory (OFS).
pub const HE_MEM: Uuid = uuid!("8568ab4e-6ba5-4616-bb65-2a578330a8eb");
/// The dummy accelerator that registers can be tried on (OPAE, `dummy_afu`).
pub const DUMMY: Uuid = uuid!("91c2a3a1-4a23-4e21-a7cd-2b36dbf2ed73");
/// The kit's own accelerator, which takes work from descriptor rings; see [`regs::stream`](crate::regs::stream).
pub const STREAM: Uuid = uuid!("5b5e2c0e-7a0f-4d1c-9c57-1f3f6a1d8e42");

/// Returns the GUID that is read as these two words.
pub const fn of_words(low: u64, high: u64) -> Uuid {
    Uuid::from_u64_pair(high, low)
}

/// Returns the words of a GUID as registers hold it: (low, high).
pub const fn words(guid: Uuid) -> (u64, u64) {
    let (high, low) = guid.as_u64_pair();
    (low, high)
}

/// Returns what a well-known GUID is called.
pub fn name(guid: Uuid) -> Option<&'static str> {
    Some(match guid {
        FME => "FME",
        PORT => "port",
        NLB0 => "NLB0",
        HE_LBK => "HE-LBK",
        HE_MEM => "HE-MEM",
        DUMMY => "dummy",
        STREAM => "stream",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_nlb0_are_those_that_hello_fpga_looks_for() {
        assert_eq!(words(NLB0), (0xf89e_4336_83f9_040b, 0xd842_4dc4_a4a3_c413));
        assert_eq!(of_words(0xf89e_4336_83f9_040b, 0xd842_4dc4_a4a3_c413), NLB0);
    }
}
