//! What is on a card, and its registers: `ls`, `walk`, `peek`, `poke`, `reset`.

use clap::{Args, ValueEnum};
use pmd_afu::dfl::Feature;
use pmd_afu::guid::{self, Uuid};
use pmd_afu::{Filter, ids};
use serde::Serialize;
use serde_json::json;
use vfio_hal::bar::Width;

use super::session::Session;
use crate::fault::Fault;
use crate::output;

/// An accelerator, for programs.
#[derive(Serialize)]
struct Accelerator {
    guid: Option<String>,
    name: Option<&'static str>,
    port: Option<u8>,
    bar: u8,
    offset: u64,
    mmio_size: u64,
    interrupts: u32,
    open: bool,
}

/// Lists the accelerators.
pub(super) fn ls(session: &Session) -> Result<(), Fault> {
    let card = &session.card;
    let (name, ids) = (card.device().name().to_owned(), card.ids());
    let what = ids.and_then(|ids| {
        let known =
            ids::DEVICES.iter().find(|(device, _)| ids.vendor == ids::VENDOR_INTEL && *device == ids.device);
        known.map(|(_, what)| *what)
    });
    let afus: Vec<Accelerator> = card
        .accelerators()
        .iter()
        .map(|afu| Accelerator {
            guid: afu.guid.map(|guid| guid.to_string()),
            name: afu.guid.and_then(guid::name),
            port: afu.port,
            bar: afu.place.bar,
            offset: afu.place.offset,
            mmio_size: afu.mmio_size,
            interrupts: afu.interrupts,
            open: afu.open,
        })
        .collect();
    if session.json() {
        return output::json(&json!({
            "device": name, "ids": ids.map(|ids| ids.to_string()), "description": what, "accelerators": afus,
        }));
    }
    let ids = ids.map_or("no PCI ids".to_owned(), |ids| ids.to_string());
    crate::out!("[{name}] ({ids}) {}", what.unwrap_or("FPGA card"));
    for afu in afus {
        let port = afu.port.map_or("function".to_owned(), |port| format!("port {port}"));
        let guid = afu.guid.as_deref().unwrap_or("stuck in reset");
        let (name, size) = (afu.name.unwrap_or("accelerator"), afu.mmio_size >> 10);
        crate::out!(
            "  {port}: {guid} {name}, BAR {} {:#x}, {size} KiB, {} interrupts",
            afu.bar,
            afu.offset,
            afu.interrupts
        );
    }
    Ok(())
}

/// Walks the feature lists.
pub(super) fn walk(session: &Session) -> Result<(), Fault> {
    let features = session.card.features();
    if session.json() {
        let all: Vec<_> = features.all().iter().map(described).collect();
        return output::json(&all);
    }
    let (start, _) = session.card.lists();
    crate::out!("lists found by {start:?}");
    for feature in features.all() {
        let indent = if feature.parent.is_some() { "  " } else { "" };
        crate::out!("{indent}{feature}");
    }
    Ok(())
}

fn described(feature: &Feature) -> serde_json::Value {
    json!({
        "bar": feature.header.bar,
        "offset": feature.header.offset,
        "kind": feature.kind.to_string(),
        "id": feature.id,
        "revision": feature.revision,
        "version": feature.version,
        "next": feature.next,
        "last": feature.last,
        "registers": feature.registers.map(|place| json!({"bar": place.bar, "offset": place.offset})),
        "guid": feature.guid.map(|guid| guid.to_string()),
        "parent": feature.parent,
    })
}

/// How wide an access is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Bits {
    /// 32 bits.
    #[value(name = "32")]
    B32,
    /// 64 bits.
    #[default]
    #[value(name = "64")]
    B64,
}

/// Where a register is.
#[derive(Args)]
struct PlaceArgs {
    /// Offset in bytes: from the start of the BAR, or with --afu or --port of the accelerator
    #[arg(value_name = "OFFSET", value_parser = number)]
    offset: u64,
    /// Which BAR
    #[arg(short = 'r', long = "region", default_value_t = 0, value_name = "BAR", conflicts_with_all = ["afu", "port"])]
    bar: u8,
    /// The accelerator with this GUID
    #[arg(long, value_name = "GUID")]
    afu: Option<Uuid>,
    /// The accelerator of this port
    #[arg(long, value_name = "PORT")]
    port: Option<u8>,
    /// Bits of the access
    #[arg(short = 'w', long, value_enum, default_value_t, value_name = "BITS")]
    width: Bits,
}

/// Options of `peek`.
#[derive(Args)]
pub(crate) struct PeekArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Options of `poke`.
#[derive(Args)]
pub(crate) struct PokeArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// What to write
    #[arg(value_name = "VALUE", value_parser = number)]
    value: u64,
}

/// Reads a number as opae.io takes it: decimal, or 0x and hexadecimal digits.
pub(super) fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if text.bytes().all(|digit| digit.is_ascii_digit()) => text.parse().ok(),
        None => None,
    };
    parsed.ok_or_else(|| format!("\"{text}\" is no number of 64 bits: write 4096 or 0x1000"))
}

impl PlaceArgs {
    fn filter(&self) -> Option<Filter> {
        if self.afu.is_none() && self.port.is_none() {
            return None;
        }
        let filter = self.afu.map_or(Filter::new(), |guid| Filter::new().guid(guid));
        Some(self.port.map_or(filter, |port| filter.port(port)))
    }

    fn access(&self) -> Width {
        if self.width == Bits::B32 { Width::W32 } else { Width::W64 }
    }

    fn read(&self, session: &Session) -> Result<u64, Fault> {
        if let Some(filter) = self.filter() {
            let afu = session.afu(&filter, true)?;
            return Ok(match self.width {
                Bits::B32 => afu.read32(self.offset)?.into(),
                Bits::B64 => afu.read64(self.offset)?,
            });
        }
        let value = session.card.bar(self.bar)?.read(self.offset, self.access())?;
        session.card.lost().check()?;
        Ok(value)
    }
}

/// Reads a register.
pub(super) fn peek(session: &Session, args: &PeekArgs) -> Result<(), Fault> {
    let value = args.place.read(session)?;
    if session.json() {
        return output::json(&json!({ "offset": args.place.offset, "value": value }));
    }
    crate::out!("{value:#x}");
    Ok(())
}

/// Writes a register.
pub(super) fn poke(session: &Session, args: &PokeArgs) -> Result<(), Fault> {
    let (place, value) = (&args.place, args.value);
    if place.width == Bits::B32 && value > u32::MAX.into() {
        return Err(Fault::Usage(format!("{value:#x} has more than 32 bits")));
    }
    if let Some(filter) = place.filter() {
        let afu = session.afu(&filter, true)?;
        match place.width {
            // Checked above.
            Bits::B32 => afu.write32(place.offset, value as u32)?,
            Bits::B64 => afu.write64(place.offset, value)?,
        }
        return Ok(());
    }
    session.card.bar(place.bar)?.write(place.offset, place.access(), value)?;
    Ok(session.card.lost().check()?)
}

/// Options of `reset`.
#[derive(Args)]
pub(crate) struct ResetArgs {
    /// Which port [default: all]
    #[arg(long, value_name = "PORT", conflicts_with = "function")]
    port: Option<u8>,
    /// The whole function instead
    #[arg(long)]
    function: bool,
}

/// Resets ports, or the function.
pub(super) fn reset(session: &Session, args: &ResetArgs) -> Result<(), Fault> {
    let card = &session.card;
    let mut done = Vec::new();
    if args.function {
        card.reset()?;
        done.push("function".to_owned());
    } else {
        let ports = match args.port {
            Some(port) => vec![card.port(port)?],
            None => card.ports(),
        };
        for port in ports {
            port.reset()?;
            done.push(format!("port {}", port.number()));
        }
    }
    if session.json() {
        return output::json(&json!({ "reset": done }));
    }
    done.iter().for_each(|what| crate::out!("{what}: reset"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_read_whole() {
        assert_eq!(number("0x1F"), Ok(31));
        assert_eq!(number("31"), Ok(31));
        for text in ["", "0x", "1f", "0x1g", "+1", "-1", "0x10000000000000000", "1 "] {
            assert!(number(text).is_err(), "{text:?}");
        }
    }
}
