//! Interrupts, as the client's eventfds see them.

use std::os::fd::{AsFd, OwnedFd};

use crate::common::*;

const NONE: u32 = 1;
const BOOL: u32 = 2;
const EVENTFD: u32 = 4;
const MASK: u32 = 1 << 3;
const UNMASK: u32 = 1 << 4;
const TRIGGER: u32 = 1 << 5;
const INTX: u32 = 0;
const MSI: u32 = 1;
const MSIX: u32 = 2;
const ERROR: u32 = 3;
const REQUEST: u32 = 4;

fn arm(client: &mut Client, index: u32, start: u32, fds: &[OwnedFd]) {
    let borrowed: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
    client.call(SET_IRQS, &set_irqs(EVENTFD | TRIGGER, index, start, fds.len() as u32), &borrowed).ok();
}

fn set(client: &mut Client, flags: u32, index: u32, start: u32, count: u32) -> u32 {
    client.call(SET_IRQS, &set_irqs(flags, index, start, count), &[]).error()
}

fn ready(served: &Served) -> Client {
    let mut client = Client::open(&served.path);
    client.bus_master();
    client
}

#[test]
fn vectors_signal_their_own_eventfd() {
    for (index, vectors) in [(MSI, 4), (MSIX, 8)] {
        let served = Served::start();
        let mut client = ready(&served);
        let fds: Vec<OwnedFd> = (0..vectors).map(|_| event()).collect();
        arm(&mut client, index, 0, &fds);
        for vector in 0..vectors {
            assert_eq!(client.act(reg::MSI, 0, vector), reg::DONE);
            let counts: Vec<u64> = fds.iter().map(signals).collect();
            let expected: Vec<u64> = (0..vectors).map(|other| u64::from(other == vector)).collect();
            assert_eq!(counts, expected);
        }
        client.act(reg::MSI, 0, vectors);
        assert!(fds.iter().all(|fd| signals(fd) == 0), "a vector that does not exist");
    }
}

#[test]
fn one_vector_is_taken_away_and_the_others_stay() {
    let served = Served::start();
    let mut client = ready(&served);
    let fds: Vec<OwnedFd> = (0..3).map(|_| event()).collect();
    arm(&mut client, MSIX, 0, &fds);
    assert_eq!(set(&mut client, EVENTFD | TRIGGER, MSIX, 1, 1), 0, "no descriptor disarms");
    for vector in 0..3 {
        client.act(reg::MSI, 0, vector);
    }
    assert_eq!(fds.iter().map(signals).collect::<Vec<_>>(), [1, 0, 1]);
    let other = event();
    arm(&mut client, MSIX, 1, std::slice::from_ref(&other));
    client.act(reg::MSI, 0, 1);
    // What came while nobody listened is pending and goes out too, into the same count.
    assert!((1..=2).contains(&signals(&other)));
    assert_eq!(set(&mut client, NONE | TRIGGER, MSIX, 0, 0), 0, "all off");
    client.act(reg::MSI, 0, 0);
    assert_eq!(signals(&fds[0]), 0);
}

#[test]
fn a_masked_vector_pends() {
    let served = Served::start();
    let mut client = ready(&served);
    let fds: Vec<OwnedFd> = (0..2).map(|_| event()).collect();
    arm(&mut client, MSIX, 0, &fds);
    assert_eq!(set(&mut client, NONE | MASK, MSIX, 0, 2), 0);
    client.act(reg::MSI, 0, 0);
    client.act(reg::MSI, 0, 0);
    assert_eq!(signals(&fds[0]), 0);
    let body = [set_irqs(BOOL | UNMASK, MSIX, 0, 2), vec![1, 0]].concat();
    client.call(SET_IRQS, &body, &[]).ok();
    assert_eq!(signals(&fds[0]), 1);
    client.act(reg::MSI, 0, 1);
    assert_eq!(signals(&fds[1]), 0, "still masked");
}

#[test]
fn the_pin_masks_itself_until_it_is_unmasked() {
    let served = Served::start();
    let mut client = ready(&served);
    let fd = event();
    arm(&mut client, INTX, 0, std::slice::from_ref(&fd));
    client.act(reg::ASSERT, 0, 0);
    client.act(reg::ASSERT, 0, 0);
    assert_eq!(signals(&fd), 1);
    assert_eq!(set(&mut client, NONE | UNMASK, INTX, 0, 1), 0);
    assert_eq!(signals(&fd), 1, "it is asserted still");
    client.act(reg::DEASSERT, 0, 0);
    assert_eq!(set(&mut client, NONE | UNMASK, INTX, 0, 1), 0);
    assert_eq!(signals(&fd), 0);
    client.act(reg::ASSERT, 0, 0);
    assert_eq!(signals(&fd), 1);
}

#[test]
fn a_client_triggers_what_it_armed() {
    let served = Served::start();
    let mut client = ready(&served);
    let fds: Vec<OwnedFd> = (0..3).map(|_| event()).collect();
    arm(&mut client, MSIX, 2, &fds);
    let body = [set_irqs(BOOL | TRIGGER, MSIX, 2, 3), vec![1, 0, 1]].concat();
    client.call(SET_IRQS, &body, &[]).ok();
    assert_eq!(fds.iter().map(signals).collect::<Vec<_>>(), [1, 0, 1]);
    let error = event();
    arm(&mut client, ERROR, 0, std::slice::from_ref(&error));
    assert_eq!(set(&mut client, NONE | TRIGGER, ERROR, 0, 1), 0);
    assert_eq!(signals(&error), 1);
    assert_eq!(set(&mut client, NONE | MASK, ERROR, 0, 1), EINVAL, "it cannot be masked");
}

#[test]
fn an_interrupt_survives_a_reset_of_the_function() {
    let served = Served::start();
    let mut client = ready(&served);
    let fd = event();
    arm(&mut client, MSIX, 0, std::slice::from_ref(&fd));
    client.write(7, 0xa8, &[0, 0x80]);
    client.act(reg::MSI, 0, 0);
    assert_eq!(signals(&fd), 0, "messages are off after the reset");
    client.bus_master();
    client.write(7, 0x72, &0x8000u16.to_le_bytes());
    client.act(reg::MSI, 0, 0);
    assert_eq!(signals(&fd), 1, "the driver switched them on again");
}

#[test]
fn flags_that_cannot_be() {
    let served = Served::start();
    let mut client = ready(&served);
    for flags in
        [0, NONE, TRIGGER, NONE | BOOL | TRIGGER, NONE | MASK | UNMASK, NONE | TRIGGER | 1 << 6, u32::MAX]
    {
        assert_eq!(set(&mut client, flags, MSIX, 0, 1), EINVAL, "{flags:#x}");
    }
    assert_eq!(set(&mut client, NONE | TRIGGER, 5, 0, 0), EINVAL, "no such kind");
    assert_eq!(set(&mut client, NONE | MASK, MSIX, 0, 0), EINVAL, "nothing to mask");
    assert_eq!(set(&mut client, BOOL | TRIGGER, MSIX, 0, 2), EINVAL, "no flags");
    let fd = event();
    let two = client.call(SET_IRQS, &set_irqs(EVENTFD | TRIGGER, MSIX, 0, 1), &[fd.as_fd(), fd.as_fd()]);
    assert_eq!(two.error(), EINVAL, "more descriptors than vectors");
    let masking = client.call(SET_IRQS, &set_irqs(EVENTFD | MASK, ERROR, 0, 1), &[fd.as_fd()]);
    assert_eq!(masking.error(), EINVAL, "it cannot be masked");
    let masking = client.call(SET_IRQS, &set_irqs(EVENTFD | MASK, MSIX, 7, 2), &[fd.as_fd(); 2]);
    assert_eq!(masking.error(), EINVAL, "no such vector");
}

/// Signals a switch, and waits until the server has seen it.
fn flip(fd: &OwnedFd) {
    rustix::io::write(fd, &1u64.to_ne_bytes()).unwrap();
    for _ in 0..2000 {
        let mut poll = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
        if rustix::event::poll(&mut poll, Some(&Default::default())).unwrap() == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("nobody takes the signal");
}

#[test]
fn mask_and_unmask_by_eventfd() {
    let served = Served::start();
    let mut client = ready(&served);
    let fds: Vec<OwnedFd> = (0..2).map(|_| event()).collect();
    arm(&mut client, MSIX, 0, &fds);
    let (mask, unmask) = (event(), event());
    client.call(SET_IRQS, &set_irqs(EVENTFD | MASK, MSIX, 1, 1), &[mask.as_fd()]).ok();
    client.call(SET_IRQS, &set_irqs(EVENTFD | UNMASK, MSIX, 1, 1), &[unmask.as_fd()]).ok();
    flip(&mask);
    client.act(reg::MSI, 0, 0);
    client.act(reg::MSI, 0, 1);
    assert_eq!(fds.iter().map(signals).collect::<Vec<_>>(), [1, 0], "the other is not masked");
    flip(&unmask);
    client.check();
    assert_eq!(signals(&fds[1]), 1, "what pended goes out");
    assert_eq!(client.read32(reg::MASKED), 2 << 16 | 1 << 8, "the model knows: MSI-X 1 unmasked");
    // Without descriptors the switch is taken away, with TRIGGER and no vectors all of the kind.
    assert_eq!(set(&mut client, EVENTFD | MASK, MSIX, 1, 1), 0);
    rustix::io::write(&mask, &1u64.to_ne_bytes()).unwrap();
    client.act(reg::MSI, 0, 1);
    assert_eq!(signals(&fds[1]), 1);
    assert_eq!(set(&mut client, NONE | TRIGGER, MSIX, 0, 0), 0);
    rustix::io::write(&unmask, &1u64.to_ne_bytes()).unwrap();
    client.act(reg::MSI, 0, 1);
    assert_eq!(signals(&unmask), 1, "nobody looks at it any more");
}

#[test]
fn the_pin_is_unmasked_by_eventfd() {
    let served = Served::start();
    let mut client = ready(&served);
    let (fd, unmask) = (event(), event());
    arm(&mut client, INTX, 0, std::slice::from_ref(&fd));
    client.call(SET_IRQS, &set_irqs(EVENTFD | UNMASK, INTX, 0, 1), &[unmask.as_fd()]).ok();
    client.act(reg::ASSERT, 0, 0);
    assert_eq!(signals(&fd), 1);
    flip(&unmask);
    client.check();
    assert_eq!(signals(&fd), 1, "it is asserted still");
    client.act(reg::DEASSERT, 0, 0);
    flip(&unmask);
    client.check();
    assert_eq!(signals(&fd), 0);
}

#[test]
fn a_switch_that_waits_holds_nobody_up() {
    let served = Served::start();
    let mut client = ready(&served);
    let unmask = event();
    client.call(SET_IRQS, &set_irqs(EVENTFD | UNMASK, MSIX, 0, 1), &[unmask.as_fd()]).ok();
    // The client shares the descriptor's flags.
    rustix::fs::fcntl_setfl(&unmask, rustix::fs::OFlags::empty()).unwrap();
    client.check();
    served.check_alive();
    flip(&unmask);
    served.check_alive();
}

#[test]
fn counts_of_error_and_request_interrupts() {
    let served = Served::start();
    let count = |client: &mut Client, index: u32| {
        let reply = client.call(IRQ_INFO, &words(&[16, 0, index, 0]), &[]).ok();
        u32::from_ne_bytes(reply.body[12..16].try_into().unwrap())
    };
    let mut client = ready(&served);
    assert_eq!((count(&mut client, ERROR), count(&mut client, REQUEST)), (1, 1), "by default");
    let spec = vfio_user_kit::Spec { error_irqs: Some(0), request_irqs: Some(3), ..toy_spec() };
    let served = Served::with(Toy { spec, ..Toy::default() }, Default::default());
    let mut client = ready(&served);
    assert_eq!((count(&mut client, ERROR), count(&mut client, REQUEST)), (0, 3));
    let fd = event();
    let none = client.call(SET_IRQS, &set_irqs(EVENTFD | TRIGGER, ERROR, 0, 1), &[fd.as_fd()]);
    assert_eq!(none.error(), EINVAL);
}

#[test]
fn only_eventfds_are_taken() {
    let served = Served::start();
    let mut client = ready(&served);
    let (read, write) = std::io::pipe().unwrap();
    let file = memory(4096, false);
    let socket = client.socket.try_clone().unwrap();
    for fd in [read.as_fd(), write.as_fd(), file.as_fd(), socket.as_fd()] {
        let reply = client.call(SET_IRQS, &set_irqs(EVENTFD | TRIGGER, MSIX, 0, 1), &[fd]);
        assert_eq!(reply.error(), EINVAL);
    }
    // A full eventfd does not hold the server up.
    let full = event();
    rustix::io::write(&full, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    arm(&mut client, MSIX, 0, std::slice::from_ref(&full));
    assert_eq!(client.act(reg::MSI, 0, 0), reg::DONE);
    client.check();
    // Nor when the client takes the flag back that the server set: both have the same open file.
    rustix::fs::fcntl_setfl(&full, rustix::fs::OFlags::empty()).unwrap();
    assert_eq!(client.act(reg::MSI, 0, 0), reg::DONE);
    served.check_alive();
}
