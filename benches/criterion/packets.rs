//! Packets a second of both forward paths over plain memory, against each other.
#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pmd_benches::rig::{BATCH, Bursts, InPlace};

fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward");
    group.throughput(Throughput::Elements(BATCH.into()));
    let mut bursts = Bursts::new();
    group.bench_function("burst", |b| b.iter(|| bursts.round()));
    let mut in_place = InPlace::new();
    group.bench_function("in place", |b| b.iter(|| in_place.round()));
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
