//! Counters of queues: the device's 16.

use super::*;

#[test]
fn each_queue_has_its_counter_as_long_as_16_suffice() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers().clone();
    let counters = |rx: bool, queues: core::ops::Range<usize>| -> Vec<u32> {
        let map = |queue: usize| {
            let word = if rx {
                registers.get::<RQSMR>(queue / 4).bits()
            } else {
                registers.get::<TQSM>(queue / 4).bits()
            };
            word >> (8 * (queue % 4)) & 0xff
        };
        queues.map(map).collect()
    };
    let mut stats = Stats::new(hw.model.chip);
    stats.attach(&mut hw, vec![Arc::default(); 16], vec![Arc::default(); 17]).unwrap();
    assert_eq!(counters(true, 0..16), (0..16).collect::<Vec<u32>>());
    assert_eq!(counters(false, 0..15), (0..15).collect::<Vec<u32>>());
    assert!(counters(false, 15..128).iter().all(|counter| *counter == 15), "the others share the last");
}

#[test]
fn queues_that_share_a_counter_have_what_their_rings_counted() {
    let (mut hw, device) = bench(SFP);
    clear_on_read(&device);
    let registers = device.registers().registers();
    strip(registers, true);
    let mut stats = Stats::new(hw.model.chip);
    stats.attach(&mut hw, vec![Arc::default(); 20], vec![Arc::default(); 20]).unwrap();
    registers.set(14, QPRC::new(3));
    registers.set(15, QPRC::new(5));
    registers.set(15, QPTC::new(6));
    stats.update(&mut hw).unwrap();
    let all = xstats(&stats);
    assert_eq!(stats.basic().ipackets, 8, "the sum is complete");
    assert_eq!((all["rx_q14_packets"], all["rx_q15_packets"], all["tx_q15_packets"]), (3, 0, 0));
    assert!(all.contains_key("rx_q14_errors") && !all.contains_key("rx_q15_errors"));
    assert!(all.contains_key("tx_q19_bytes") && !all.contains_key("tx_q20_bytes"));
}
