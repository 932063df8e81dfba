//! What the two sides agree on: the JSON of the VERSION message.
//!
//! Key type: [`Capabilities`]. What a side does not say has the value that the protocol gives it; what it says
//! beyond the known keys is ignored, as the protocol wants it.

use serde_json::{Map, Value, json};

/// The longest JSON text that is looked at, in bytes. All known keys take less than 400.
const MAX_JSON: usize = 16 * 1024;

/// A second socket for commands from the server to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TwinSocket {
    /// The side can do it.
    pub supported: bool,
    /// In a reply: the place of the socket among the descriptors of the message.
    pub fd_index: Option<u32>,
}

/// What one side can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Descriptors it takes with one message.
    pub max_msg_fds: u32,
    /// Bytes of data it takes in one read or write.
    pub max_data_xfer_size: u64,
    /// DMA mappings it keeps.
    pub max_dma_maps: u32,
    /// Page sizes of DMA mappings, as bits.
    pub pgsizes: u64,
    /// The second socket.
    pub twin_socket: TwinSocket,
    /// It takes several register writes in one message.
    pub write_multiple: bool,
    /// The page size of dirty-page bitmaps in bytes, if it migrates.
    pub migration_pgsize: Option<u64>,
}

impl Default for Capabilities {
    /// What the protocol assumes of a side that says nothing.
    fn default() -> Capabilities {
        Capabilities {
            max_msg_fds: 1,
            max_data_xfer_size: 1024 * 1024,
            max_dma_maps: 65535,
            pgsizes: 4096,
            twin_socket: TwinSocket::default(),
            write_multiple: false,
            migration_pgsize: None,
        }
    }
}

/// What is wrong with a VERSION message's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Longer than any known set of capabilities by far.
    #[error("the capabilities are longer than 16 KiB")]
    TooLong,
    /// The text must end in one NUL.
    #[error("the capabilities do not end in NUL")]
    NoNul,
    /// Not JSON, or nested deeper than 127 levels.
    #[error("the capabilities are not valid JSON, or nested too deeply")]
    NotJson,
    /// A known key has a value of another type.
    #[error("the capability `{key}` has a value of the wrong type or out of range")]
    Value {
        /// The key.
        key: &'static str,
    },
}

impl Capabilities {
    /// Reads what follows the version numbers: nothing, or JSON with a NUL at its end.
    ///
    /// # Errors
    /// When it is not that, or a known key has a value that cannot be.
    pub fn parse(text: &[u8]) -> Result<Capabilities, VersionError> {
        let mut result = Capabilities::default();
        if text.is_empty() {
            return Ok(result);
        }
        if text.len() > MAX_JSON {
            return Err(VersionError::TooLong);
        }
        let [json @ .., 0] = text else { return Err(VersionError::NoNul) };
        // The parser gives up at 128 levels, so hostile nesting cannot exhaust the stack.
        let root: Value = serde_json::from_slice(json).map_err(|_| VersionError::NotJson)?;
        let Some(given) = object(&root, "capabilities")? else { return Ok(result) };
        let number = |key: &'static str, default: u64| match given.get(key) {
            None => Ok(default),
            Some(value) => value.as_u64().ok_or(VersionError::Value { key }),
        };
        let narrow = |key: &'static str, default: u32| {
            u32::try_from(number(key, default.into())?).map_err(|_| VersionError::Value { key })
        };
        result.max_msg_fds = narrow("max_msg_fds", result.max_msg_fds)?;
        result.max_dma_maps = narrow("max_dma_maps", result.max_dma_maps)?;
        result.max_data_xfer_size = number("max_data_xfer_size", result.max_data_xfer_size)?;
        result.pgsizes = number("pgsizes", result.pgsizes)?;
        result.write_multiple = flag(given, "write_multiple")?;
        if let Some(twin) = nested(given, "twin_socket")? {
            result.twin_socket.supported = flag(twin, "supported")?;
            result.twin_socket.fd_index = match twin.get("fd_index") {
                None | Some(Value::Null) => None,
                Some(value) => {
                    let index = value.as_u64().and_then(|index| u32::try_from(index).ok());
                    Some(index.ok_or(VersionError::Value { key: "fd_index" })?)
                }
            };
        }
        if let Some(migration) = nested(given, "migration")? {
            let size = migration.get("pgsize").map_or(Some(4096), Value::as_u64);
            let valid = size.filter(|size| size.is_power_of_two());
            result.migration_pgsize = Some(valid.ok_or(VersionError::Value { key: "pgsize" })?);
        }
        Ok(result)
    }

    /// Writes the JSON, with a NUL at its end. What is not supported is left out.
    pub fn to_json(&self) -> Vec<u8> {
        let mut map = Map::new();
        map.insert("max_msg_fds".into(), self.max_msg_fds.into());
        map.insert("max_data_xfer_size".into(), self.max_data_xfer_size.into());
        map.insert("max_dma_maps".into(), self.max_dma_maps.into());
        map.insert("pgsizes".into(), self.pgsizes.into());
        if self.twin_socket.supported {
            let mut twin = json!({ "supported": true });
            if let Some(index) = self.twin_socket.fd_index {
                twin["fd_index"] = index.into();
            }
            map.insert("twin_socket".into(), twin);
        }
        if self.write_multiple {
            map.insert("write_multiple".into(), true.into());
        }
        if let Some(pgsize) = self.migration_pgsize {
            map.insert("migration".into(), json!({ "pgsize": pgsize }));
        }
        let mut text = json!({ "capabilities": map }).to_string().into_bytes();
        text.push(0);
        text
    }
}

fn object<'a>(value: &'a Value, key: &'static str) -> Result<Option<&'a Map<String, Value>>, VersionError> {
    nested(value.as_object().ok_or(VersionError::Value { key })?, key)
}

fn nested<'a>(
    map: &'a Map<String, Value>,
    key: &'static str,
) -> Result<Option<&'a Map<String, Value>>, VersionError> {
    map.get(key).map(|value| value.as_object().ok_or(VersionError::Value { key })).transpose()
}

fn flag(map: &Map<String, Value>, key: &'static str) -> Result<bool, VersionError> {
    map.get(key).map_or(Ok(false), |value| value.as_bool().ok_or(VersionError::Value { key }))
}
