//! From text to a [`Spec`].
//!
//! Key types: none of its own.
//! Neighbours: takes options out of [`Args`]; the device parser calls [`Spec::from_args`] with what it does not know
//! itself.

use core::str::FromStr;
use std::path::PathBuf;

use super::args::{Args, mac, number, probability, time, word};
use super::error::{Accepted, SpecError};
use super::{Kind, Spec};
use crate::text::Word;
use crate::{
    CaptureFormat, Faults, FrameSize, GeneratorConfig, ImpairConfig, PacketSocketConfig, PauseCycle,
    Probability, Replay, TapConfig,
};

/// Frames that a queue holds by default, and at most.
const DEPTH: usize = 1_024;
const MOST_DEPTH: u64 = 65_536;
const DEPTHS: &str = "1 to 65536 frames";

/// Options of every kind of link.
const CABLE: &[&str] = &["loss", "reorder", "dup", "corrupt", "dir", "seed", "gap", "hold", "pause", "tee"];

const KINDS: &[&str] = &["gen", "sink", "pcap", "tap", "iface", "loop", "pair"];

/// The options of a kind of link.
fn keys(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "gen" => &["size", "flows", "rate", "count", "vlan", "dst", "src", "verify"],
        "sink" => &["verify"],
        "pcap" => &["rx", "tx", "loop", "paced", "cut", "us"],
        "tap" => &["iface", "mtu", "down"],
        "iface" => &["name", "promisc"],
        "loop" => &["depth"],
        "pair" => &["id", "depth"],
        _ => return None,
    })
}

impl FromStr for Spec {
    type Err = SpecError;

    /// Reads the grammar of [`Spec::HELP`].
    fn from_str(text: &str) -> Result<Spec, SpecError> {
        let (kind, args) = Args::split(text);
        Spec::from_args(kind, args, &[])
    }
}

impl Spec {
    /// `others` are words that the caller has taken out, or would have; errors list them too.
    pub(super) fn from_args(
        kind: &str,
        mut args: Args<'_>,
        others: &'static [&'static str],
    ) -> Result<Spec, SpecError> {
        let keys = keys(kind).ok_or(SpecError::UnknownKind {
            kind: Word::head(kind),
            accepted: Accepted([KINDS, &[], &[]]),
        })?;
        args.check(Accepted([keys, CABLE, others]))?;
        let impair = impair(&mut args)?;
        let tee = args.read("tee", "a file name", word)?.map(PathBuf::from);
        let kind = match kind {
            "gen" => Kind::Generate {
                verify: args.switch("verify")?.unwrap_or(true),
                config: generator(&mut args)?,
            },
            "sink" => Kind::Sink { verify: args.switch("verify")?.unwrap_or(false) },
            "pcap" => pcap(&mut args)?,
            "tap" => Kind::Tap(TapConfig {
                name: args.require("iface", "iface=NAME", word)?,
                mtu: args.read("mtu", "68 to 65521 bytes", |text| {
                    number(text)?.try_into().ok().filter(|mtu| (68..=65_521).contains(mtu))
                })?,
                up: !args.switch("down")?.unwrap_or(false),
            }),
            "iface" => Kind::Interface(PacketSocketConfig {
                name: args.require("name", "name=NAME", word)?,
                // A model has a MAC address of its own, for which the interface would not listen.
                promiscuous: args.switch("promisc")?.unwrap_or(true),
            }),
            "loop" => Kind::Loopback { depth: depth(&mut args)? },
            _ => Kind::Pair { id: args.require("id", "id=0", word)?, depth: depth(&mut args)? },
        };
        Ok(Spec { kind, impair, tee })
    }
}

fn depth(args: &mut Args<'_>) -> Result<usize, SpecError> {
    let depth = args.read("depth", DEPTHS, |text| {
        number(text).filter(|frames| (1..=MOST_DEPTH).contains(frames)).map(|frames| frames as usize)
    })?;
    Ok(depth.unwrap_or(DEPTH))
}

fn generator(args: &mut Args<'_>) -> Result<GeneratorConfig, SpecError> {
    const MAC: &str = "a MAC address such as 02:00:00:00:00:01";
    let defaults = GeneratorConfig::default();
    let size = args.read("size", "64 to 16384 bytes (FCS included), or imix", |text| match text {
        "imix" => Some(FrameSize::Imix),
        _ => Some(FrameSize::Fixed(number(text)?.try_into().ok()?)),
    })?;
    let config = GeneratorConfig {
        size: size.unwrap_or(defaults.size),
        flows: args
            .read("flows", "1 to 65535", |text| number(text)?.try_into().ok())?
            .unwrap_or(defaults.flows),
        rate: args.read("rate", "1 to 1G frames a second", number)?,
        count: args.read("count", "a number of frames", number)?,
        vlan: args.read("vlan", "0 to 4094", |text| number(text)?.try_into().ok())?,
        destination: args.read("dst", MAC, mac)?.unwrap_or(defaults.destination),
        source: args.read("src", MAC, mac)?.unwrap_or(defaults.source),
    };
    config.check()?;
    Ok(config)
}

fn pcap(args: &mut Args<'_>) -> Result<Kind, SpecError> {
    let rx = args.read("rx", "a file name", word)?.map(PathBuf::from);
    let tx = args.read("tx", "a file name", word)?.map(PathBuf::from);
    if rx.is_none() && tx.is_none() {
        return Err(SpecError::Missing {
            kind: args.owner(),
            key: "rx or tx",
            example: "rx=IN.pcap, tx=OUT.pcap or both",
        });
    }
    let replay = Replay {
        looped: args.switch("loop")?.unwrap_or(false),
        paced: args.switch("paced")?.unwrap_or(false),
        cut: args.switch("cut")?.unwrap_or(false),
    };
    let format =
        CaptureFormat { microseconds: args.switch("us")?.unwrap_or(false), ..CaptureFormat::default() };
    Ok(Kind::Pcap { rx, replay, tx, format })
}

fn impair(args: &mut Args<'_>) -> Result<Option<ImpairConfig>, SpecError> {
    const CHANCE: &str = "a probability from 0 to 1, or in percent (1%)";
    let defaults = ImpairConfig::default();
    let mut chance = |key| args.read(key, CHANCE, probability);
    let (loss, reorder) = (chance("loss")?, chance("reorder")?);
    let (duplicate, corrupt) = (chance("dup")?, chance("corrupt")?);
    let pause = args.read("pause", "a time, how often and when first, such as 1ms/10ms or 5ms@1s", pause)?;
    let direction = args.read("dir", "rx, tx or both", |text| match text {
        "rx" => Some((true, false)),
        "tx" => Some((false, true)),
        "both" => Some((true, true)),
        _ => None,
    })?;
    let seed = args.read("seed", "a number", number)?;
    let gap = args.read("gap", "1 to 4294967295 frames", |text| {
        number(text)?.try_into().ok().filter(|&gap: &u32| gap > 0)
    })?;
    let hold = args.read("hold", "a time such as 1ms", time)?;
    if [loss, reorder, duplicate, corrupt].iter().all(Option::is_none) && pause.is_none() {
        return Ok(None);
    }
    let or_never = |chance: Option<Probability>| chance.unwrap_or(Probability::NEVER);
    let faults = Faults {
        loss: or_never(loss),
        reorder: or_never(reorder),
        duplicate: or_never(duplicate),
        corrupt: or_never(corrupt),
    };
    let (rx, tx) = direction.unwrap_or((true, true));
    Ok(Some(ImpairConfig {
        rx: if rx { faults } else { Faults::default() },
        tx: if tx { faults } else { Faults::default() },
        pause,
        seed: seed.unwrap_or(defaults.seed),
        depth: gap.unwrap_or(defaults.depth),
        hold: hold.unwrap_or(defaults.hold),
    }))
}

/// `LENGTH[/EVERY][@FIRST]`; the first pause of a series comes when one has passed without.
fn pause(text: &str) -> Option<PauseCycle> {
    let (rest, first) = match text.split_once('@') {
        Some((rest, first)) => (rest, Some(time(first)?)),
        None => (text, None),
    };
    let (length, every) = match rest.split_once('/') {
        Some((length, every)) => (length, Some(time(every)?)),
        None => (rest, None),
    };
    let length = time(length)?;
    // A pause without an end would be a cable that is not plugged in.
    if length == 0 || every.is_some_and(|every| every <= length) {
        return None;
    }
    Some(PauseCycle { first: first.or(every)?, length, every })
}
