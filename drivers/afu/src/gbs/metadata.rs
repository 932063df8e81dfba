//! What the JSON in a GBS file says.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::GbsError;
use crate::guid::Uuid;

/// More accelerators than any bitstream has.
const MAX_ACCELERATORS: usize = 16;
/// A longer name than any accelerator has, in bytes.
const MAX_NAME: usize = 256;
/// `magic-no` (OPAE, `OPAE_LEGACY_BITSTREAM_MAGIC`).
pub(super) const MAGIC_NUMBER: u64 = 0x1d1f_8680;

/// What a bitstream is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The name of the platform, where it is told.
    pub platform: Option<String>,
    /// The interface id of the static region that it fits.
    pub interface_id: Uuid,
    /// The accelerators in it.
    pub accelerators: Vec<Accelerator>,
    /// The user clock's frequencies that it needs.
    pub clocks: Clocks,
    /// What it consumes, in watts, where it is told.
    pub power: Option<u32>,
}

/// An accelerator in a bitstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accelerator {
    /// Its name.
    pub name: String,
    /// Its GUID.
    pub guid: Uuid,
    /// How many contexts it has.
    pub contexts: u32,
}

/// Frequencies of the user clock in kHz; `None` where the bitstream does not care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The faster clock (2×).
    pub high: Option<u32>,
    /// The slower clock (1×).
    pub low: Option<u32>,
}

impl Clocks {
    /// Returns the slower clock's frequency to set, in whole MHz, rounded down: an accelerator runs slower than it could, but
    /// never faster.
    pub fn low_mhz(&self) -> Option<u32> {
        let low = self.low.or(self.high.map(|high| high / 2))?;
        Some(low / 1000).filter(|&mhz| mhz != 0)
    }
}

impl Metadata {
    pub(super) fn parse(json: &[u8]) -> Result<Metadata, GbsError> {
        // The packager pads with a zero byte or none.
        let json = json.strip_suffix(b"\0").unwrap_or(json);
        let root: Value = serde_json::from_slice(json)
            .map_err(|error| GbsError::Json { line: error.line(), column: error.column() })?;
        let root = root.as_object().ok_or(GbsError::Key { key: "version" })?;
        match root.get("version").and_then(Value::as_u64) {
            // Files of 2017 say 640 and 650 and mean 1 (OPAE, `libbitstream`).
            Some(1 | 640 | 650) => {}
            Some(version) => return Err(GbsError::Version { version }),
            None => return Err(GbsError::Key { key: "version" }),
        }
        let image =
            root.get("afu-image").and_then(Value::as_object).ok_or(GbsError::Key { key: "afu-image" })?;
        if image.get("magic-no").and_then(Value::as_u64) != Some(MAGIC_NUMBER) {
            return Err(GbsError::Key { key: "magic-no" });
        }
        let clusters = image.get("accelerator-clusters").and_then(Value::as_array);
        let clusters = clusters.filter(|clusters| clusters.len() <= MAX_ACCELERATORS);
        let clusters = clusters.ok_or(GbsError::Key { key: "accelerator-clusters" })?;
        Ok(Metadata {
            platform: text(root, "platform-name"),
            interface_id: guid(image, "interface-uuid")?,
            accelerators: clusters.iter().map(accelerator).collect::<Result<_, _>>()?,
            clocks: Clocks {
                high: khz(image, "clock-frequency-high")?,
                low: khz(image, "clock-frequency-low")?,
            },
            power: number(image, "power").map(|watts| watts as u32),
        })
    }
}

fn accelerator(cluster: &Value) -> Result<Accelerator, GbsError> {
    let cluster = cluster.as_object().ok_or(GbsError::Key { key: "accelerator-clusters" })?;
    let contexts = cluster.get("total-contexts").and_then(Value::as_u64);
    let contexts = contexts.and_then(|contexts| u32::try_from(contexts).ok());
    Ok(Accelerator {
        name: text(cluster, "name").ok_or(GbsError::Key { key: "name" })?,
        guid: guid(cluster, "accelerator-type-uuid")?,
        contexts: contexts.ok_or(GbsError::Key { key: "total-contexts" })?,
    })
}

fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    let text = map.get(key)?.as_str()?;
    (text.len() <= MAX_NAME).then(|| text.into())
}

fn guid(map: &Map<String, Value>, key: &'static str) -> Result<Uuid, GbsError> {
    let text = map.get(key).and_then(Value::as_str).ok_or(GbsError::Key { key })?;
    Uuid::try_parse(text).map_err(|_| GbsError::Key { key })
}

/// Returns a number that is finite and not negative.
fn number(map: &Map<String, Value>, key: &str) -> Option<f64> {
    map.get(key)?.as_f64().filter(|number| number.is_finite() && *number >= 0.0)
}

/// Returns a frequency, which the file has in MHz. 0, `auto` and nothing at all say that any will do.
fn khz(map: &Map<String, Value>, key: &'static str) -> Result<Option<u32>, GbsError> {
    match map.get(key) {
        None | Some(Value::Null | Value::String(_)) => Ok(None),
        Some(_) => {
            let mhz = number(map, key).filter(|&mhz| mhz <= 10_000.0).ok_or(GbsError::Key { key })?;
            Ok(Some((mhz * 1000.0) as u32).filter(|&khz| khz != 0))
        }
    }
}
