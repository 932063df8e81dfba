//! DPDK's way to name a virtual device.
//!
//! What it does: reads the text of `--vdev`: a device's own options beside those of the link it is plugged into, as in
//! `net_ixgbe0,queues=4,link=tap,iface=t0`; and the devices that DPDK has for what is a link here.
//! Key types: [`Vdev`].
//! Neighbours: hands the link's options to the parser of [`Spec`]s.

use super::Spec;
use super::args::{Args, word};
use super::error::{Accepted, SpecError};
use crate::text::Word;

/// A device named on the command line.
///
/// | text | link |
/// |---|---|
/// | `net_tap0[,iface=NAME]` | `tap`, NAME is `dtap0` by default |
/// | `net_pcap0[,rx_pcap=FILE][,tx_pcap=FILE][,infinite_rx=1]` | `pcap` |
/// | `net_pcap0,iface=NAME`, `net_af_packet0,iface=NAME` | `iface` |
/// | any other name, `,link=KIND,…` | `KIND,…` |
///
/// The links' own options may follow in each.
#[derive(Clone, Debug, PartialEq)]
pub struct Vdev {
    /// The whole name, such as `net_ixgbe0`.
    pub name: String,
    /// The device's own options with their values, those of the caller's list that are there.
    pub options: Vec<(String, Option<String>)>,
    /// What it is plugged into; `None` when nothing is said of it.
    pub link: Option<Spec>,
}

impl Vdev {
    /// Reads `NAME[,KEY[=VALUE]]…`. Options in `own` are the device's and are given back as they stand; all others are
    /// the link's.
    ///
    /// # Errors
    /// What [`Spec`]'s parser answers, a device without a name, or link options without `link=`.
    pub fn parse(text: &str, own: &'static [&'static str]) -> Result<Vdev, SpecError> {
        let (name, mut args) = Args::split(text);
        if name.is_empty() || name.contains('=') {
            let (key, value) = (Word::head("--vdev"), Word::head(name));
            return Err(SpecError::BadValue {
                key,
                value,
                expected: "a device name first, such as net_ixgbe0,link=gen",
            });
        }
        let mut options = Vec::new();
        for key in own {
            while let Some((key, value)) = args.take(key) {
                if options.iter().any(|(earlier, _)| earlier == key) {
                    return Err(SpecError::Twice { kind: args.owner(), key: Word::head(key) });
                }
                options.push((key.to_owned(), value.map(str::to_owned)));
            }
        }
        let driver = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let link = match driver {
            "net_tap" => {
                let default = format!("dtap{}", &name[driver.len()..]);
                args.add_default("iface", &default);
                Some(Spec::from_args("tap", args, own)?)
            }
            "net_pcap" if args.has("iface") => {
                args.rename("iface", "name");
                Some(Spec::from_args("iface", args, own)?)
            }
            "net_pcap" => {
                args.rename("rx_pcap", "rx");
                args.rename("tx_pcap", "tx");
                args.rename("infinite_rx", "loop");
                Some(Spec::from_args("pcap", args, own)?)
            }
            "net_af_packet" => {
                args.rename("iface", "name");
                Some(Spec::from_args("iface", args, own)?)
            }
            _ => match args.read("link", "a link such as link=gen", word)? {
                Some(kind) => Some(Spec::from_args(&kind, args, own)?),
                None => {
                    args.check(Accepted([&["link"], own, &[]]))?;
                    None
                }
            },
        };
        Ok(Vdev { name: name.to_owned(), options, link })
    }
}
