//! Negotiation, information and register accesses.

use vfio_user_kit::SharedRegisters;
use vfio_user_kit::server::ServerOptions;

use crate::common::*;

fn text(reply: &Reply) -> String {
    assert_eq!(reply.body.last(), Some(&0), "ends in NUL, which QEMU insists on");
    String::from_utf8(reply.body[4..reply.body.len() - 1].to_vec()).unwrap()
}

#[test]
fn an_empty_version_is_legal_and_takes_the_defaults() {
    let served = Served::start();
    let mut client = Client::connect(&served.path);
    let reply = client.call(VERSION, &[0, 0, 9, 0], &[]).ok();
    assert_eq!(reply.body[..4], [0, 0, 2, 0], "the lower minor of both");
    let json = text(&reply);
    assert!(json.contains(r#""max_data_xfer_size":1048576"#), "{json}");
    assert!(json.contains(r#""max_dma_maps":65535"#), "no more than the client's default: {json}");
    assert!(!json.contains("twin_socket") && !json.contains("write_multiple"), "{json}");
    client.check();
}

#[test]
fn the_reply_is_a_subset_of_the_proposal() {
    let served = Served::start();
    let mut client = Client::connect(&served.path);
    let proposal = r#"{"max_msg_fds":8,"max_data_xfer_size":4096,"max_dma_maps":10,"pgsizes":4096,
        "write_multiple":true,"migration":{"pgsize":4096},"future":[1,{"a":null}],
        "twin_socket":{"supported":true}}"#;
    let reply = client.call(VERSION, &version(proposal), &[]).ok();
    let json = text(&reply);
    for part in [
        r#""max_data_xfer_size":4096"#,
        r#""max_dma_maps":10"#,
        r#""write_multiple":true"#,
        r#""migration":{"pgsize":4096}"#,
        r#""twin_socket":{"fd_index":0,"supported":true}"#,
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
    assert!(!json.contains("future"), "{json}");
    assert_eq!(reply.fds.len(), 1, "the twin socket");
}

#[test]
fn bad_versions_are_refused_and_a_good_one_may_follow() {
    let served = Served::start();
    let mut client = Client::connect(&served.path);
    let no_nul = [&[0, 0, 1, 0][..], b"{}"].concat();
    let deep = [&[0, 0, 1, 0][..], "[".repeat(10_000).as_bytes(), &[0]].concat();
    let long = [&[0, 0, 1, 0][..], " ".repeat(20_000).as_bytes(), &[0]].concat();
    for body in [
        no_nul,
        deep,
        long,
        [&[0, 0, 1, 0][..], b"{\0"].concat(),
        [&[0, 0, 1, 0][..], b"7\0"].concat(),
        version("7"),
        version(r#"{"max_msg_fds":-1}"#),
        version(r#"{"max_msg_fds":4294967296}"#),
        version(r#"{"write_multiple":"yes"}"#),
        version(r#"{"twin_socket":true}"#),
        version(r#"{"pgsizes":1}"#),
        version(r#"{"migration":{"pgsize":3}}"#),
        vec![0, 0, 1],
        vec![],
    ] {
        assert_eq!(client.call(VERSION, &body, &[]).error(), EINVAL, "{body:?}");
    }
    assert_eq!(client.call(VERSION, &[1, 0, 0, 0], &[]).error(), ENOTSUP, "another major");
    client.call(VERSION, &version("{}"), &[]).ok();
    assert_eq!(client.call(VERSION, &version("{}"), &[]).error(), EINVAL, "only once");
    client.check();
}

#[test]
fn regions_and_interrupts_are_those_of_the_spec() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    for (index, size) in
        [(0, 4096), (1, 0), (2, 1 << 16), (3, 0), (4, 4096), (5, 64), (6, 0), (7, 4096), (8, 0)]
    {
        let request = [words(&[32, 0, index, 0]), longs(&[0, 0])].concat();
        let reply = client.call(REGION_INFO, &request, &[]).ok();
        let flags = if size > 0 { 3 } else { 0 };
        let expected = [words(&[32, flags, index, 0]), longs(&[size, 0])].concat();
        assert_eq!(reply.body, expected, "region {index}");
        assert!(reply.fds.is_empty());
    }
    let request = [words(&[32, 0, 9, 0]), longs(&[0, 0])].concat();
    assert_eq!(client.call(REGION_INFO, &request, &[]).error(), EINVAL);
    for (index, flags, count) in [(0, 7, 1), (1, 3, 4), (2, 3, 8), (3, 1, 1), (4, 1, 1)] {
        let reply = client.call(IRQ_INFO, &words(&[16, 0, index, 0]), &[]).ok();
        assert_eq!(reply.body, words(&[16, flags, index, count]), "interrupt {index}");
    }
    assert_eq!(client.call(IRQ_INFO, &words(&[16, 0, 5, 0]), &[]).error(), EINVAL);
    assert_eq!(client.call(IRQ_INFO, &words(&[15, 0, 0, 0]), &[]).error(), EINVAL, "argsz too small");
}

fn two_areas() -> Toy {
    let area = |offset: u64| SharedRegisters::new(2, offset, 4096).unwrap().area();
    Toy { shared: vec![area(0x8000), area(0x2000)], ..Toy::default() }
}

#[test]
fn each_sparse_area_comes_with_its_own_file_when_there_is_room() {
    let served = Served::with(two_areas(), ServerOptions::default());
    let mut client = Client::connect(&served.path);
    client.call(VERSION, &version(r#"{"max_msg_fds":8}"#), &[]).ok();
    let request = |argsz| [words(&[argsz, 0, 2, 0]), longs(&[0, 0])].concat();
    let reply = client.call(REGION_INFO, &request(32), &[]).ok();
    let word = |body: &[u8], at: usize| u32::from_ne_bytes(body[4 * at..4 * at + 4].try_into().unwrap());
    assert_eq!(word(&reply.body, 0), 80, "what the whole answer needs");
    assert!(reply.fds.is_empty() && reply.body.len() == 32 && word(&reply.body, 3) == 0);
    let reply = client.call(REGION_INFO, &request(80), &[]).ok();
    assert_eq!(word(&reply.body, 1), 0b1111);
    assert_eq!(word(&reply.body, 3), 32);
    let areas = [words(&[1 << 16 | 1, 0, 2, 0]), longs(&[0x2000, 0x1000, 0x8000, 0x1000])].concat();
    assert_eq!(reply.body[32..], areas);
    assert_eq!(reply.fds.len(), 2);
    // An area is at the region's offset and its own, in the descriptor with its number.
    assert_eq!(reply.body[24..32], longs(&[0]));
    poke(&reply.fds[1], 0x8000, &[1]);
    assert_eq!((peek(&reply.fds[0], 0x2000, 1), peek(&reply.fds[1], 0x8000, 1)), (vec![0], vec![1]));
}

#[test]
fn a_client_that_takes_too_few_descriptors_gets_no_mapping() {
    let served = Served::with(two_areas(), ServerOptions::default());
    let mut client = Client::open(&served.path);
    let request = [words(&[4096, 0, 2, 0]), longs(&[0, 0])].concat();
    let reply = client.call(REGION_INFO, &request, &[]).ok();
    assert_eq!(reply.body, [words(&[32, 3, 2, 0]), longs(&[1 << 16, 0])].concat());
    assert!(reply.fds.is_empty());
}

#[test]
fn a_signalled_register_reaches_the_model() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    let reply = client.call(IO_FDS, &words(&[16, 0, 0, 0]), &[]).ok();
    assert_eq!(reply.body, words(&[56, 0, 0, 0]), "no room: what it needs");
    let reply = client.call(IO_FDS, &words(&[56, 0, 0, 0]), &[]).ok();
    let entry = [longs(&[reg::NOTIFY, 4]), words(&[0, 0, 1, 0]), longs(&[7])].concat();
    assert_eq!(reply.body, [words(&[56, 0, 0, 1]), entry].concat());
    rustix::io::write(&reply.fds[0], &1u64.to_ne_bytes()).unwrap();
    for _ in 0..1000 {
        if client.read32(reg::NOTIFIED) == 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(client.read32(reg::NOTIFIED), 1);
    for bad in [[15, 0, 0, 0], [16, 1, 0, 0], [16, 0, 1, 0], [16, 0, 9, 0], [16, 0, 0, 1]] {
        assert_eq!(client.call(IO_FDS, &words(&bad), &[]).error(), EINVAL, "{bad:?}");
    }
}

#[test]
fn registers_take_every_width_and_alignment() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    let pattern: Vec<u8> = (0..64).collect();
    client.write(0, reg::SCRATCH, &pattern);
    for at in 0..16 {
        for count in 0..33 {
            let got = client.read(0, reg::SCRATCH + at, count);
            assert_eq!(got, pattern[at as usize..at as usize + count], "{count} at {at}");
        }
    }
    client.write(0, reg::SCRATCH + 1, &[0xaa; 9]);
    let got = client.read(0, reg::SCRATCH, 12);
    assert_eq!(got, [&[0][..], &[0xaa; 9], &[10, 11]].concat());
}

#[test]
fn a_bar_that_is_switched_off_reads_all_ones() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    client.write32(reg::SCRATCH, 5);
    client.write(7, 4, &[0, 0]);
    assert_eq!(client.read(0, reg::SCRATCH, 4), [0xff; 4], "memory access is off");
    client.write32(reg::SCRATCH, 6);
    assert_eq!(client.read(7, 0, 4), [0x34, 0x12, 0x78, 0x56], "configuration space answers always");
    client.write(7, 4, &[2, 0]);
    assert_eq!(client.read(0, reg::SCRATCH, 4), [5, 0, 0, 0], "and the write was dropped");
}

#[test]
fn a_callback_that_fails_becomes_an_errno() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    assert_eq!(client.call(REGION_READ, &access(0, 2, 4), &[]).error(), EINVAL);
    let write = [access(0, 2, 4), vec![1; 4]].concat();
    assert_eq!(client.call(REGION_WRITE, &write, &[]).error(), EINVAL);
    client.check();
    drop(client);
    assert_eq!(served.stop().refused_accesses, 2);
}

#[test]
fn posted_writes_get_no_answer_and_keep_their_order() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    for value in 0..1000u32 {
        let body = [access(reg::SCRATCH, 0, 4), value.to_le_bytes().to_vec()].concat();
        client.send(REGION_WRITE, 0x10, &body, &[]);
    }
    client.send(REGION_WRITE, 0x10, &access(1 << 40, 0, 4), &[]);
    assert_eq!(client.read32(reg::SCRATCH), 999, "and the failed one has no answer either");
}

#[test]
fn several_writes_in_one_message() {
    let served = Served::start();
    let mut client = Client::connect(&served.path);
    let one = |offset: u64, region: u32, count: u32, data: u64| {
        [longs(&[offset]), words(&[region, count]), data.to_le_bytes().to_vec()].concat()
    };
    client.call(VERSION, &version(r#"{"write_multiple":true}"#), &[]).ok();
    let body = [longs(&[2]), one(reg::SCRATCH, 0, 8, 0x1122), one(reg::SCRATCH + 8, 0, 2, 0x3344)].concat();
    let reply = client.call(WRITE_MULTI, &body, &[]).ok();
    assert_eq!(reply.body, longs(&[2]));
    assert_eq!(client.read(0, reg::SCRATCH, 12), [0x22, 0x11, 0, 0, 0, 0, 0, 0, 0x44, 0x33, 0, 0]);
    let bad = [longs(&[2]), one(reg::SCRATCH, 0, 4, 0xdead), one(reg::SCRATCH, 0, 9, 0)].concat();
    assert_eq!(client.call(WRITE_MULTI, &bad, &[]).error(), EINVAL);
    assert_eq!(client.read(0, reg::SCRATCH, 2), [0x22, 0x11], "none of a bad message is done");
    let wrong_count = [longs(&[u64::MAX]), one(reg::SCRATCH, 0, 4, 0)].concat();
    assert_eq!(client.call(WRITE_MULTI, &wrong_count, &[]).error(), EINVAL);
    drop(client);
    let mut client = Client::open(&served.path);
    assert_eq!(client.call(WRITE_MULTI, &longs(&[0]), &[]).error(), ENOTSUP, "not agreed on");
}

#[test]
fn a_reset_clears_the_device_and_a_flr_its_configuration_too() {
    let served = Served::start();
    let mut client = Client::open(&served.path);
    client.write32(reg::SCRATCH, 5);
    client.bus_master();
    client.write(7, 0x10, &0xabcd_0000u32.to_le_bytes());
    client.call(RESET, &[], &[]).ok();
    assert_eq!(client.read32(reg::SCRATCH), 0);
    assert_eq!(client.read(7, 4, 1), [2], "bus mastering is off");
    assert_eq!(client.read(7, 0x12, 2), [0xcd, 0xab], "addresses stay");
    client.write32(reg::SCRATCH, 6);
    let pcie = client.read(7, 0xa0, 1);
    assert_eq!(pcie, [0x10], "the PCI Express capability");
    client.write(7, 0xa8, &[0, 0x80]);
    assert_eq!(client.read(7, 0x12, 2), [0, 0]);
    client.write(7, 4, &[2, 0]);
    assert_eq!(client.read32(reg::SCRATCH), 0);
}
