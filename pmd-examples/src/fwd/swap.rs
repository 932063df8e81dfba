//! Mode 5tswap: a packet is turned round. MAC addresses, IP addresses and ports change places, so it goes back to its
//! sender; no checksum changes, for sums do not care for order.

use super::headers::{Headers, TCP, UDP};

/// Turns a frame round, as far up as it is known.
pub(crate) fn turn(frame: &mut [u8]) {
    let headers = Headers::find(frame);
    if let Some(addresses) = frame.first_chunk_mut::<12>() {
        addresses.rotate_left(6);
    }
    let Some(headers) = headers else { return };
    let (source, destination) = headers.addresses();
    let len = source.len();
    if let Some(addresses) = frame.get_mut(source.start..destination.end) {
        addresses.rotate_left(len);
    }
    if matches!(headers.protocol, Some(TCP | UDP))
        && let Some(ports) = frame.get_mut(headers.l4..headers.l4 + 4)
    {
        ports.rotate_left(2);
    }
}
