//! Frames to send through ports, made by another crate than the tool's code.

use etherparse::PacketBuilder;

/// Another station.
pub(crate) const PEER: [u8; 6] = [2, 0, 0, 0, 0x11, 0x11];

/// A third one.
pub(crate) const OTHER: [u8; 6] = [2, 0, 0, 0, 0x22, 0x22];

/// Port 0's address.
pub(crate) const PORT0: [u8; 6] = [0x02, 0x82, 0x59, 0x90, 0x00, 0x00];

/// A UDP datagram of flow `flow`, number `number`, with `payload` bytes.
pub(crate) fn udp(flow: u16, number: u32, payload: usize) -> Vec<u8> {
    let [high, low] = flow.to_be_bytes();
    let builder =
        PacketBuilder::ethernet2(PEER, OTHER).ipv4([10, 0, high, low], [10, 1, 0, 1], 64).udp(flow, 9);
    let mut data = vec![number as u8; payload.max(4)];
    data[..4].copy_from_slice(&number.to_be_bytes());
    let mut frame = Vec::new();
    builder.write(&mut frame, &data).unwrap();
    frame
}

/// The flow and number of a frame that [`udp`] made.
pub(crate) fn udp_id(frame: &[u8]) -> (u16, u32) {
    let flow = u16::from_be_bytes([frame[28], frame[29]]);
    (flow, u32::from_be_bytes(frame[42..46].try_into().unwrap()))
}

/// Many of them, of growing size.
pub(crate) fn many(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| udp(number as u16 % 32, number, 18 + (number as usize * 13) % 1400)).collect()
}

/// Puts a VLAN tag behind the addresses.
pub(crate) fn tagged(frame: &[u8], id: u16) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    tagged.extend([0x81, 0x00]);
    tagged.extend(id.to_be_bytes());
    tagged.extend(&frame[12..]);
    tagged
}
