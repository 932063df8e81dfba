//! Configuration space through the server: who answers, and what a refusal is.

use vfio_user_kit::{CapabilitySpec, ConfigCallback, Spec};

use crate::common::*;

const EPERM: u32 = 1;

fn served(spec: Spec) -> (Served, Client) {
    let served = Served::with(Toy { spec, ..Toy::default() }, Default::default());
    let client = Client::open(&served.path);
    (served, client)
}

fn write_error(client: &mut Client, offset: u64, data: &[u8]) -> u32 {
    let body = [access(offset, 7, data.len() as u32), data.to_vec()].concat();
    client.call(REGION_WRITE, &body, &[]).error()
}

fn calls(client: &mut Client) -> (u32, u32) {
    (client.read32(reg::CONFIG_READS), client.read32(reg::CONFIG_WRITES))
}

#[test]
fn callback_and_read_only_capabilities() {
    let capabilities = vec![
        CapabilitySpec::standard(0x55, &[1, 2, 3, 4, 5, 6]).at(0x80),
        CapabilitySpec::standard(0x56, &[1, 2]).at(0x88).read_only(),
        CapabilitySpec::standard(0x57, &[1, 2, 3, 4, 5, 6]).at(0x90).by_model(),
        CapabilitySpec::vsec(0x43, 0, &[9; 4]).by_model(),
    ];
    let (_served, mut client) = served(Spec { capabilities, ..toy_spec() });
    client.write(7, 0x82, &[7, 8]);
    assert_eq!(client.read(7, 0x80, 8), [0x55, 0x88, 7, 8, 3, 4, 5, 6]);
    assert_eq!(write_error(&mut client, 0x8a, &[1]), EPERM, "read-only");
    assert_eq!(write_error(&mut client, 0x86, &[1; 8]), EPERM, "all of it, or nothing");
    assert_eq!(client.read(7, 0x86, 2), [5, 6]);
    assert_eq!(calls(&mut client), (0, 0));
    client.write(7, 0x92, &[0x0f]);
    assert_eq!(client.read(7, 0x90, 4), [0x57, 0, 0xf0, 2], "the model answers, number and link stay");
    assert_eq!(calls(&mut client), (1, 1));
    client.write(7, 0x90, &[0xff; 2]);
    assert_eq!(client.read(7, 0x90, 2), [0x57, 0]);
    assert_eq!(calls(&mut client), (1, 1), "number and link are not the model's");
    assert_eq!(client.read(7, 0x104, 8), [0x43, 0, 0xc0, 0, 9, 9, 9, 9], "the VSEC");
    assert_eq!(calls(&mut client), (2, 1));
}

#[test]
fn without_a_callback_the_rest_reads_and_refuses_writes() {
    let (_served, mut client) = served(toy_spec());
    assert_eq!(client.read(7, 0xe0, 4), [0; 4]);
    assert_eq!(write_error(&mut client, 0xe0, &[1]), EINVAL);
    assert_eq!(write_error(&mut client, 0x3e, &[0; 4]), 0, "the header's end and a capability");
    client.check();
}

#[test]
fn a_callback_for_the_rest() {
    let spec = Spec { config_callback: ConfigCallback::Unclaimed, ..toy_spec() };
    let (_served, mut client) = served(spec);
    client.write(7, 0xf0, &[0x0f, 0xf0]);
    assert_eq!(client.read(7, 0xf0, 2), [0xf0, 0x0f]);
    assert_eq!(calls(&mut client), (1, 1));
    client.write(7, 0x04, &[6, 0]);
    assert_eq!(client.read(7, 0x04, 2), [6, 0]);
    assert_eq!(calls(&mut client), (1, 1), "the header is the server's");
    let read = client.call(REGION_READ, &access(0xe0, 7, 4), &[]).error();
    assert_eq!((read, write_error(&mut client, 0xe0, &[1])), (EINVAL, EINVAL), "a callback that fails");
}

#[test]
fn always_a_callback() {
    let spec = Spec { config_callback: ConfigCallback::Always, ..toy_spec() };
    let (_served, mut client) = served(spec);
    assert_eq!(client.read(7, 0, 4), [0x34, 0x12, 0x78, 0x56]);
    client.write(7, 0x04, &[6, 0]);
    assert_eq!(client.read(7, 0x04, 2), [6, 0], "the model passed it on");
    assert_eq!(calls(&mut client), (2, 1));
    // A reset that is asked for in the model's call follows it.
    client.write32(reg::SCRATCH, 5);
    client.write(7, 0xa9, &[0x80]);
    assert_eq!(client.read(7, 0x04, 2), [3, 0], "BARs answer, bus mastering is off");
    assert_eq!(client.read32(reg::SCRATCH), 0);
}

#[test]
fn the_model_reads_its_own_configuration() {
    let (_served, mut client) = served(toy_spec());
    client.write(7, 0x18, &0xabcd_0000u32.to_le_bytes());
    assert_eq!(client.act(reg::CONFIG, 0x18, 0), reg::DONE);
    assert_eq!(client.read(0, reg::SCRATCH, 4), [0x0c, 0, 0xcd, 0xab]);
    assert_eq!(client.act(reg::CONFIG, 4093, 0), reg::FAULT);
}
