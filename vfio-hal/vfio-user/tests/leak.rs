//! Nothing stays of clients that came and went. A program of its own, because it counts all descriptors.

mod common;

use std::os::fd::AsFd;

use common::*;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .filter(|line| line.contains("memfd:memory"))
        .count()
}

/// Returns the process' own memory, in bytes.
fn private() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let sum = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    1024 * (sum("Private_Dirty:") + sum("Private_Clean:"))
}

fn cycle(served: &Served, round: u32) {
    let mut client = Client::connect(&served.path);
    let proposal = r#"{"max_msg_fds":8,"twin_socket":{"supported":true}}"#;
    let twin = client.call(VERSION, &version(proposal), &[]).ok();
    assert_eq!(twin.fds.len(), 1);
    client.bus_master();
    let (file, fd) = (memory(0x4000, round.is_multiple_of(2)), event());
    assert_eq!(client.map(0, 0x4000, 3, Some((file.as_fd(), 0))), 0);
    assert_eq!(client.map(0, 0x4000, 3, Some((file.as_fd(), 0))), EEXIST);
    client.call(SET_IRQS, &set_irqs(4 | 1 << 5, 2, 0, 3), &[fd.as_fd(); 3]).ok();
    assert_eq!(client.call(GET_INFO, &words(&[16, 0, 0, 0]), &[fd.as_fd()]).error(), EINVAL);
    assert_eq!(client.act(reg::READ, 0, 8), reg::DONE);
    client.write32(reg::MAX, 8);
    // Held when the client goes, and let go of by the next.
    assert_eq!(client.act(reg::RELEASE, 0, 0), reg::DONE);
    assert_eq!(client.act(reg::HOLD, 0x1000, 8), reg::DONE);
    client.call(SET_IRQS, &set_irqs(4 | 1 << 4, 2, 0, 1), &[fd.as_fd()]).ok();
    let start = [words(&[24, 1 << 17 | 6]), longs(&[4096]), words(&[0, 0])].concat();
    client.call(FEATURE, &start, &[]).ok();
    assert_eq!(client.act(reg::WRITE, 0, 64), reg::DONE);
    if round.is_multiple_of(3) {
        // Gone in the middle of a message that brought a descriptor.
        client.raw(&message(1, DMA_MAP, 0, &dma_map(3, 0, 0x10000, 0x1000))[..20], &[file.as_fd()]);
    }
}

#[test]
fn a_thousand_clients_leave_nothing() {
    let served = Served::start();
    cycle(&served, 0);
    // The next client is let in after the one before is gone.
    let release = || assert_eq!(Client::open(&served.path).act(reg::RELEASE, 0, 0), reg::DONE);
    release();
    let settled = |expected: Option<usize>| {
        for _ in 0..500 {
            let now = descriptors();
            if expected.is_some_and(|expected| now <= expected) && mappings() == 0 {
                return now;
            }
            std::thread::sleep(std::time::Duration::from_millis(4));
        }
        descriptors()
    };
    let before = settled(Some(0));
    // What is kept for good is there after a few.
    (0..100).for_each(|round| cycle(&served, round));
    let memory = private();
    (100..1000).for_each(|round| cycle(&served, round));
    release();
    assert_eq!(settled(Some(before)), before);
    assert_eq!(mappings(), 0);
    let grown = private().saturating_sub(memory);
    assert!(grown < 256 << 10, "{grown} bytes more after 900 clients");
}
