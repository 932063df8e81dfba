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
    drop(Client::open(&served.path));
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
    for round in 0..1000 {
        cycle(&served, round);
    }
    assert_eq!(settled(Some(before)), before);
    assert_eq!(mappings(), 0);
}
