//! Making GBS files.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::MAGIC;
use super::metadata::MAGIC_NUMBER;
use crate::guid::Uuid;

/// Makes a GBS file, as OPAE's `packager` does.
#[derive(Clone, Debug)]
pub struct Builder {
    interface_id: Uuid,
    accelerators: Vec<Value>,
    high: Option<f64>,
    low: Option<f64>,
    platform: Option<String>,
}

impl Builder {
    /// Starts a file for cards with this interface id.
    pub fn new(interface_id: Uuid) -> Builder {
        Builder { interface_id, accelerators: Vec::new(), high: None, low: None, platform: None }
    }

    /// Adds an accelerator.
    pub fn accelerator(mut self, name: &str, guid: Uuid) -> Builder {
        let accelerator = json!({
            "total-contexts": 1, "name": name, "accelerator-type-uuid": guid.to_string(),
        });
        self.accelerators.push(accelerator);
        self
    }

    /// Names the user clock's frequencies, in MHz.
    pub fn clocks(mut self, high: f64, low: f64) -> Builder {
        (self.high, self.low) = (Some(high), Some(low));
        self
    }

    /// Names the platform.
    pub fn platform(mut self, name: &str) -> Builder {
        self.platform = Some(name.to_string());
        self
    }

    /// Returns the file, with these data for the engine.
    pub fn build(&self, data: &[u8]) -> Vec<u8> {
        let mut image = json!({
            "magic-no": MAGIC_NUMBER,
            "interface-uuid": self.interface_id.to_string(),
            "accelerator-clusters": self.accelerators,
            "power": 0,
        });
        if let Some(image) = image.as_object_mut() {
            let clocks = [("clock-frequency-high", self.high), ("clock-frequency-low", self.low)];
            for (key, mhz) in clocks {
                image.extend(mhz.map(|mhz| (key.to_string(), json!(mhz))));
            }
        }
        let mut root = json!({ "version": 1, "afu-image": image });
        if let (Some(root), Some(platform)) = (root.as_object_mut(), &self.platform) {
            root.insert("platform-name".to_string(), json!(platform));
        }
        let json = root.to_string();
        let mut file = MAGIC.to_vec();
        file.extend((json.len() as u32).to_le_bytes());
        file.extend(json.as_bytes());
        file.extend(data);
        file
    }
}
