//! What the link says, and when it says so.

use super::*;

#[test]
fn status_is_of_now_not_of_the_past() {
    let (hw, card) = Card::new(SFP);
    let link = LINKS::default().with_link_up(true).with_link_speed(3);
    card.file().set(0, link);
    // The link was lost and is back: the first read still tells of the loss.
    card.device.registers().answer(0, [LINKS::default()]);
    assert!(status(&hw).unwrap().up);
    // And the other way round.
    card.file().set(0, LINKS::default());
    card.device.registers().answer(0, [link]);
    assert!(!status(&hw).unwrap().up);
}

#[test]
fn speeds_are_decoded_for_the_chip() {
    const OTHER: u32 = 1 << 27;
    for (id, speed, other, mbps) in [
        (SFP, 3, 0, 10_000),
        (SFP, 2, 0, 1_000),
        (SFP, 1, 0, 100),
        (SFP, 3, OTHER, 10_000),
        (X550, 3, OTHER, 2_500),
        (X550, 1, OTHER, 5_000),
        (X550, 1, 0, 100),
    ] {
        let (hw, card) = Card::new(id);
        card.file().set(0, LINKS::new(1 << 30 | speed << 28 | other));
        let found = status(&hw).unwrap();
        assert_eq!((found.up, found.speed_mbps), (true, mbps), "{id:x} {speed} {other:x}");
    }
    let (hw, card) = Card::new(SFP);
    card.file().set(0, LINKS::default().with_link_up(true));
    assert_eq!(status(&hw), Ok(LinkStatus::default()), "without a speed it is not up");
}

#[test]
fn a_link_that_an_empty_cage_picks_up_by_crosstalk_is_none() {
    let (hw, card) = Card::new(SFP);
    card.state().nvm[0x2c] = 0;
    card.file().set(0, LINKS::default().with_link_up(true).with_link_speed(3));
    assert_eq!(status(&hw), Ok(LinkStatus::default()), "SDP2 says that the cage is empty");
    card.file().set(0, ESDP::default().with_sdp2(true));
    assert!(status(&hw).unwrap().up);
    // A spurious link is gone at the second look.
    let flash = LINKS::default().with_link_up(true).with_link_speed(3);
    card.file().set(0, LINKS::default());
    card.device.registers().answer(0, [flash, flash]);
    assert_eq!(status(&hw), Ok(LinkStatus::default()));
}

#[test]
fn waiting_ends_with_the_link_or_the_limit() {
    let (hw, card) = Card::new(SFP);
    let file = card.file().clone();
    card.clock.hook(move |now| {
        if now >= Duration::from_millis(333) {
            file.set(0, LINKS::default().with_link_up(true).with_link_speed(3));
        }
    });
    assert!(!wait(&hw, Duration::ZERO).unwrap().up);
    assert!(!wait(&hw, Duration::from_millis(100)).unwrap().up);
    assert_eq!(card.clock.now(), Duration::from_millis(100));
    assert!(wait(&hw, Duration::from_secs(9)).unwrap().up);
    assert!(card.clock.now() < Duration::from_millis(350), "{:?}", card.clock.now());
}

#[test]
fn events_are_told_apart_and_pins_mean_something_with_a_cage_only() {
    let (sfp, _) = Card::new(SFP);
    let (copper, _) = Card::new(X540);
    let all = EICR::default().with_lsc(true).with_gpi_sdp1(true).with_gpi_sdp2(true);
    assert_eq!(Events::of(sfp.model, all), Events { link: true, module: true, signal: true });
    assert_eq!(Events::of(copper.model, all), Events { link: true, ..Events::default() });
    let module = EICR::default().with_gpi_sdp2(true);
    assert_eq!(Events::of(sfp.model, module), Events { module: true, ..Events::default() });
    assert_eq!(Events::of(sfp.model, EICR::default()), Events::default());
    for hw in [&sfp, &copper] {
        let unmasked = Events::causes(hw.model);
        assert_eq!(Events::of(hw.model, all), Events::of(hw.model, EICR::new(unmasked.bits())));
        let pins = Events::pins(hw.model, GPIE::default().with_eiame(true));
        assert!(pins.eiame());
        assert_eq!(pins.sdp2_gpien(), unmasked.gpi_sdp2());
        assert_eq!(pins.sdp1_gpien(), unmasked.gpi_sdp1());
    }
}

#[test]
fn speeds_read_well() {
    assert_eq!(Speeds::ALL.to_string(), "10G, 5G, 2.5G, 1G, 100M, 10M");
    assert_eq!((Speeds::GB10 | Speeds::GB1).to_string(), "10G, 1G");
    assert_eq!(Speeds::NONE.to_string(), "none");
    assert_eq!(Speeds::ALL & Speeds::GB1, Speeds::GB1);
    assert!(Speeds::ALL.contains(Speeds::NONE) && !Speeds::NONE.contains(Speeds::GB1));
    assert_eq!((Speeds::GB1 | Speeds::MB100).count(), 2);
}

#[test]
fn a_module_that_is_changed_is_set_up_by_the_interrupt() {
    let (mut hw, card) = Card::new(SFP);
    let config = LinkConfig::default();
    card.state().module.id = None;
    setup(&mut hw, &config).unwrap();
    let module = EICR::default().with_gpi_sdp2(true);
    // Nothing happened, then something that is not about the link.
    assert_eq!(service(&mut hw, &config), Ok(LinkStatus::default()));
    card.file().set(0, EICR::default().with_rtx_queue(1).with_mailbox(true));
    assert_eq!(service(&mut hw, &config), Ok(LinkStatus::default()));
    assert!(card.state().autoc.is_empty());
    plug(&card, &[(3, 0x10)]);
    card.file().set(0, module);
    service(&mut hw, &config).unwrap();
    assert_eq!(up(&hw), UP_10G);
    // One that cannot be used is reported.
    plug(&card, &[]);
    assert!(matches!(service(&mut hw, &config), Err(PortError::Module { .. })));
}

#[test]
fn a_lost_signal_tries_the_speeds_again_only_while_the_link_is_down() {
    let (mut hw, card) = Card::new(SFP);
    plug(&card, &DUAL);
    setup(&mut hw, &LinkConfig::default()).unwrap();
    card.file().set(0, EICR::default().with_gpi_sdp1(true));
    assert_eq!(service(&mut hw, &LinkConfig::default()), Ok(UP_10G));
    assert_eq!(modes(&card), [7, 3]);
    card.file().set(0, LINKS::default());
    card.state().partner = [2].into();
    assert_eq!(service(&mut hw, &LinkConfig::default()), Ok(UP_1G));
}
