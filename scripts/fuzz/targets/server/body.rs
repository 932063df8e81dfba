//! The bodies of messages that may be right, as bytes.

use crate::input::{Body, Fd};

const PAGE: u64 = 4096;

impl Body {
    /// Returns the command, the bytes and the descriptors. `saved` is what the client read of the device's state last.
    pub(crate) fn message(&self, saved: &[u8]) -> (u16, Vec<u8>, Vec<Fd>) {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        let longs = |longs: &[u64]| longs.iter().flat_map(|long| long.to_ne_bytes()).collect::<Vec<u8>>();
        let pages = |pages: u8| u64::from(pages % 8) * PAGE;
        let access = |offset: u64, region: u8, count: usize| {
            [longs(&[offset]), words(&[region.into(), count as u32])].concat()
        };
        let none = Vec::new();
        match self {
            Body::DmaMap { flags, offset, page, pages: count, file } => {
                let place = [pages(*offset), pages(*page), pages(*count)];
                let body = [words(&[32, u32::from(flags & 7)]), longs(&place)].concat();
                (2, body, file.iter().copied().collect())
            }
            Body::DmaUnmap { all, page, pages: count } => {
                let place = if *all { [0, 0] } else { [pages(*page), pages(*count)] };
                (3, [words(&[24, u32::from(*all) << 1]), longs(&place)].concat(), none)
            }
            Body::Info => (4, words(&[16, 0, 0, 0]), none),
            Body::RegionInfo { argsz, index } => (
                5,
                [words(&[u32::from(*argsz) * 4, 0, u32::from(index % 10), 0]), longs(&[0, 0])].concat(),
                none,
            ),
            Body::IoFds { argsz, index } => {
                (6, words(&[u32::from(*argsz) * 4, 0, u32::from(index % 10), 0]), none)
            }
            Body::IrqInfo { index } => (7, words(&[16, 0, u32::from(index % 6), 0]), none),
            Body::SetIrqs { data, action, index, start, count, bools, fds } => {
                let flags = 1u32 << (data % 3) | 8 << (action % 3);
                let head =
                    words(&[20, flags, u32::from(index % 6), u32::from(start % 10), u32::from(count % 10)]);
                let (bools, fds) = match data % 3 {
                    1 => (&bools[..bools.len().min(10)], none),
                    2 => (&[][..], fds.iter().copied().take(10).collect()),
                    _ => (&[][..], none),
                };
                (8, [&head[..], bools].concat(), fds)
            }
            Body::Read { region, offset, count } => {
                (9, access((*offset).into(), region % 10, (*count).into()), none)
            }
            Body::Write { region, offset, data } => {
                (10, [access((*offset).into(), region % 10, data.len()), data.clone()].concat(), none)
            }
            Body::Config { write, offset, data } => {
                let head = access(u64::from(offset % 0x300), 7, data.len());
                if *write { (10, [head, data.clone()].concat(), none) } else { (9, head, none) }
            }
            Body::Reset => (13, Vec::new(), none),
            Body::Multi { writes } => {
                let mut body = longs(&[writes.len() as u64]);
                for (region, offset, count, data) in writes {
                    body.extend(access((*offset).into(), region % 10, (count % 10).into()));
                    body.extend(data.to_ne_bytes());
                }
                (15, body, none)
            }
            Body::State { state } => (16, words(&[16, 1 << 17 | 2, u32::from(state % 9), 0]), none),
            Body::Feature { index, how, data } => {
                let flags = u32::from(*index) | u32::from(how & 7) << 16;
                (16, [words(&[4096, flags]), data.clone()].concat(), none)
            }
            Body::LogStart { page, ranges } => {
                let mut body = words(&[4096, 1 << 17 | 6]);
                body.extend(longs(&[1 << (page % 64)]));
                body.extend(words(&[ranges.len() as u32, 0]));
                for (page, count) in ranges {
                    body.extend(longs(&[pages(*page), pages(*count)]));
                }
                (16, body, none)
            }
            Body::LogReport { page, first, pages: count } => {
                let place = [pages(*first), u64::from(*count) * PAGE, 1 << (page % 64)];
                (16, [words(&[1 << 20, 1 << 16 | 8]), longs(&place)].concat(), none)
            }
            Body::Save { size } => (17, words(&[u32::from(*size) + 8, (*size).into()]), none),
            Body::Restore { data } => (18, restore(data), none),
            Body::Echo => (18, restore(saved), none),
        }
    }
}

fn restore(data: &[u8]) -> Vec<u8> {
    let len = data.len() as u32;
    [&(len + 8).to_ne_bytes()[..], &len.to_ne_bytes(), data].concat()
}
