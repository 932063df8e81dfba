//! From a [`Spec`] to a link.
//!
//! Key types: [`PatchPanel`], [`Opened`].
//! Neighbours: puts the other modules' links together; the `pmd` tool gives the link to a model and keeps the counts.

use std::collections::BTreeMap;

use super::{Kind, Spec, SpecError};
use crate::pcap::writable;
use crate::text::Word;
use crate::{
    CaptureFormat, Generator, Impair, Impairments, KernelDrops, Link, LinkError, Loopback, Meter,
    PacketSocket, PairEnd, PauseSwitch, PcapSink, PcapSource, Sink, Tap, Tee, Traffic, Verdict, Watch, pair,
    split,
};

/// An open link, and what can be watched of it from outside.
pub struct Opened {
    /// The plug for the MAC.
    pub link: Box<dyn Link>,
    /// What crosses it at the MAC's end.
    pub traffic: Watch<Traffic>,
    /// What the sink finds in the frames sent, where there is a sink.
    pub verdict: Option<Watch<Verdict>>,
    /// What the cable does to the frames, where it does.
    pub impairments: Option<Watch<Impairments>>,
    /// Pauses the sender by hand, where the cable is a bad one.
    pub pause: Option<PauseSwitch>,
    /// What the kernel's interface could not carry, where there is one.
    pub drops: Option<Watch<KernelDrops>>,
}

impl core::fmt::Debug for Opened {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Opened").field("traffic", &self.traffic).finish_non_exhaustive()
    }
}

impl Spec {
    /// Finds out whether the files that the link needs can be read and written, without changing any: so that a run of
    /// several links is refused before the first one has overwritten something.
    ///
    /// # Errors
    /// What [`PatchPanel::open`] would answer for the file.
    pub fn check(&self) -> Result<(), LinkError> {
        if let Kind::Pcap { rx, replay, tx, .. } = &self.kind {
            rx.as_deref().map(|path| PcapSource::open(path, *replay)).transpose()?;
            tx.as_deref().map_or(Ok(()), writable)?;
        }
        Ok(self.tee.as_deref().map_or(Ok(()), writable)?)
    }
}

/// Opens links, and joins those that are two ends of one cable.
#[derive(Default)]
pub struct PatchPanel {
    /// Cables of which one end is in use.
    waiting: BTreeMap<String, PairEnd>,
}

impl PatchPanel {
    /// A panel without cables.
    pub fn new() -> PatchPanel {
        PatchPanel::default()
    }

    /// Opens a link. The second one of two pair links with the same id gets the other end of the first one's cable,
    /// whose depth holds.
    ///
    /// # Errors
    /// What the kind of link answers.
    pub fn open(&mut self, spec: &Spec) -> Result<Opened, LinkError> {
        match &spec.kind {
            Kind::Generate { config, verify } => {
                let sink = new_sink(*verify);
                let verdict = sink.verdict();
                let generator = Generator::new(config)?;
                Ok(Opened { verdict: Some(verdict), ..dress(spec, split(generator, sink))? })
            }
            Kind::Sink { verify } => {
                let sink = new_sink(*verify);
                let verdict = sink.verdict();
                Ok(Opened { verdict: Some(verdict), ..dress(spec, sink)? })
            }
            Kind::Pcap { rx, replay, tx, format } => {
                let source = rx.as_deref().map(|path| PcapSource::open(path, *replay)).transpose()?;
                let drain = tx.as_deref().map(|path| PcapSink::create(path, *format)).transpose()?;
                match (source, drain) {
                    (Some(source), Some(drain)) => dress(spec, split(source, drain)),
                    (None, Some(drain)) => dress(spec, drain),
                    (source, None) => {
                        let sink = Sink::counting();
                        let verdict = Some(sink.verdict());
                        let opened = match source {
                            Some(source) => dress(spec, split(source, sink))?,
                            None => dress(spec, sink)?,
                        };
                        Ok(Opened { verdict, ..opened })
                    }
                }
            }
            Kind::Tap(config) => {
                let tap = Tap::open(config)?;
                let drops = tap.drops();
                Ok(Opened { drops: Some(drops), ..dress(spec, tap)? })
            }
            Kind::Interface(config) => {
                let socket = PacketSocket::open(config)?;
                let drops = socket.drops();
                Ok(Opened { drops: Some(drops), ..dress(spec, socket)? })
            }
            Kind::Loopback { depth } => dress(spec, Loopback::new(*depth)),
            Kind::Pair { id, depth } => {
                let end = self.waiting.remove(id).unwrap_or_else(|| {
                    let (end, other) = pair(*depth);
                    self.waiting.insert(id.clone(), other);
                    end
                });
                dress(spec, end)
            }
        }
    }

    /// Checks that no cable has a loose end. Without it, a link to a loose end is down once the panel is gone.
    ///
    /// # Errors
    /// [`SpecError::Unpaired`].
    pub fn finish(self) -> Result<(), SpecError> {
        match self.waiting.into_keys().next() {
            Some(id) => Err(SpecError::Unpaired { id: Word::head(&id) }),
            None => Ok(()),
        }
    }
}

fn new_sink(verify: bool) -> Sink {
    if verify { Sink::verifying() } else { Sink::counting() }
}

/// Puts the cable around what is at its end: impairment, capture, and a meter next to the MAC. Generic, so that the
/// common case of none of the first two is one dynamic call a frame.
fn dress<L: Link + 'static>(spec: &Spec, link: L) -> Result<Opened, LinkError> {
    match &spec.impair {
        None => capture(spec, link),
        Some(config) => {
            let bad = Impair::new(link, config);
            let (impairments, pause) = (Some(bad.impairments()), Some(bad.pause_switch()));
            Ok(Opened { impairments, pause, ..capture(spec, bad)? })
        }
    }
}

fn capture<L: Link + 'static>(spec: &Spec, link: L) -> Result<Opened, LinkError> {
    match &spec.tee {
        None => Ok(meter(link)),
        Some(path) => Ok(meter(Tee::create(link, path, CaptureFormat::default())?)),
    }
}

fn meter<L: Link + 'static>(link: L) -> Opened {
    let meter = Meter::new(link);
    Opened {
        traffic: meter.traffic(),
        link: Box::new(meter),
        verdict: None,
        impairments: None,
        pause: None,
        drops: None,
    }
}
