//! Runs one path for a number of rounds, for an instruction counter to look at. `benches/instructions` is the way to use it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use pmd_benches::rig::{BATCH, Bursts, InPlace};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (path, rounds) = (args.next().unwrap_or_default(), args.next().and_then(|text| text.parse().ok()));
    let Some(rounds) = rounds else {
        eprintln!("count: say burst or inplace, and how many rounds of {BATCH} packets");
        return ExitCode::from(2);
    };
    let (mut bursts, mut in_place);
    let round: &mut dyn FnMut() -> usize = match path.as_str() {
        "burst" => {
            bursts = Bursts::new();
            &mut || bursts.round()
        }
        "inplace" => {
            in_place = InPlace::new();
            &mut || in_place.round()
        }
        other => {
            eprintln!("count: there is no path '{other}': say burst or inplace");
            return ExitCode::from(2);
        }
    };
    let packets: usize = (0..rounds).map(|_| round()).sum();
    let expected = rounds * BATCH as usize;
    if packets != expected {
        eprintln!("count: {packets} of {expected} packets forwarded");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
