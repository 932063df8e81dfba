//! What is in which section, and how a model becomes what the sections say.

use crate::config::Config;
use crate::link::Phy;
use crate::model::Model82599;
use crate::nvm::Nvm;
use crate::regs::RegisterFile;
use crate::rx::Rx;
use crate::shared::Core;
use crate::state::{Reader, State, StateError, Writer, check};
use crate::tx::Tx;

/// Sections.
pub(super) const COUNT: usize = 5;

/// The most bytes of each: the small units; the registers; the EEPROM; receive, with its packet buffer of at most 512 KB and
/// 32,768 filters of the flow director; transmit, with a packet of 256 KB in each queue.
pub(super) const LIMITS: [usize; COUNT] = [64 << 10, 256 << 10, 32 << 10, 24 << 20, 64 << 20];

/// Returns a section.
pub(super) fn save(model: &Model82599, index: usize) -> Vec<u8> {
    let Model82599 {
        core,
        nvm,
        semaphores,
        mdio,
        i2c,
        phy,
        wire: _,
        flow,
        rx,
        tx,
        clock,
        timer,
        resetting,
        moving: _,
    } = model;
    let Core { config, regs, irq, events, speed_mbps, now, shift: _, arrived: _ } = core;
    let mut to = Writer::default();
    match index {
        0 => {
            config.save(&mut to);
            irq.save(&mut to);
            events.save(&mut to);
            speed_mbps.save(&mut to);
            now.save(&mut to);
            semaphores.save(&mut to);
            mdio.save(&mut to);
            i2c.save(&mut to);
            phy.save(&mut to);
            flow.save(&mut to);
            clock.save(&mut to);
            timer.save(&mut to);
            resetting.save(&mut to);
        }
        1 => regs.save(&mut to),
        2 => nvm.save(&mut to),
        3 => rx.save(&mut to),
        _ => tx.save(&mut to),
    }
    to.bytes
}

/// Reads all sections, checks them, and only then changes the model.
pub(super) fn load(model: &mut Model82599, sections: [Vec<u8>; COUNT]) -> Result<(), StateError> {
    let mut from = Reader::new(&sections[0]);
    let config = Config::load(&mut from)?;
    let irq: crate::irq::Interrupts = State::load(&mut from)?;
    let events: crate::events::Events = State::load(&mut from)?;
    let speed_mbps = State::load(&mut from)?;
    let now = State::load(&mut from)?;
    let semaphores = State::load(&mut from)?;
    let mdio = State::load(&mut from)?;
    let i2c: crate::sfp::i2c::I2c = State::load(&mut from)?;
    let phy: Phy = State::load(&mut from)?;
    let flow = State::load(&mut from)?;
    let clock: crate::clock::Clock = State::load(&mut from)?;
    let timer = State::load(&mut from)?;
    let resetting = State::load(&mut from)?;
    from.end()?;
    let regs: RegisterFile = whole(&sections[1])?;
    let nvm: Nvm = whole(&sections[2])?;
    let mut rx: Rx = whole(&sections[3])?;
    let mut tx: Tx = whole(&sections[4])?;

    check(config.part == model.core.config.part, "a part that the head does not name")?;
    irq.sound()?;
    events.sound()?;
    i2c.sound()?;
    clock.sound(now)?;
    nvm.sound()?;
    rx.sound()?;
    tx.sound()?;

    rx.arrive(&regs);
    tx.arrive();
    let Config { signals, overrun, short_frames, .. } = model.core.config;
    model.core = Core {
        // How the function interrupts and what the link is like is not the device's to say.
        config: Config { signals, overrun, short_frames, ..config },
        regs,
        irq,
        events,
        speed_mbps,
        now,
        shift: 0,
        arrived: true,
    };
    model.nvm = nvm;
    model.semaphores = semaphores;
    model.mdio = mdio;
    model.i2c = i2c;
    model.phy = phy;
    model.flow = flow;
    model.rx = rx;
    model.tx = tx;
    model.clock = clock;
    model.timer = timer;
    model.resetting = resetting;
    model.wire.arrive();
    Ok(())
}

fn whole<T: State>(bytes: &[u8]) -> Result<T, StateError> {
    let mut from = Reader::new(bytes);
    let value = T::load(&mut from)?;
    from.end()?;
    Ok(value)
}
