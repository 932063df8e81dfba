//! `pmd hugepages`: reserve hugepages and mount their file system, with the options of DPDK's `dpdk-hugepages`.
//!
//! [`pages`] reserves, [`mounts`] mounts, [`size`] reads sizes as people write them.

mod mounts;
mod pages;
mod size;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::fault::Fault;
use crate::{out, output};

use pages::{Pages, Reserve};
use size::{Bytes, bytes};

/// Reserve hugepages, mount their file system, show both. Sizes have a suffix K, M or G.
#[derive(Args)]
pub(crate) struct HugepagesArgs {
    /// Show the hugepages there are; with another action, afterwards (default)
    #[arg(short = 's', long)]
    show: bool,
    /// Give back all hugepages, of every size and node
    #[arg(short = 'c', long)]
    clear: bool,
    /// Mount the file system of hugepages
    #[arg(short = 'm', long)]
    mount: bool,
    /// Unmount it
    #[arg(short = 'u', long)]
    unmount: bool,
    /// Reserve on this NUMA node only [default: on each node]
    #[arg(short = 'n', long, value_name = "NODE")]
    node: Option<u32>,
    /// Size of the pages, such as 2M or 1G [default: the kernel's default]
    #[arg(short = 'p', long, value_name = "SIZE", value_parser = bytes)]
    pagesize: Option<Bytes>,
    /// Reserve this much memory, in all, on each node
    #[arg(short = 'r', long, value_name = "SIZE", value_parser = bytes)]
    reserve: Option<Bytes>,
    /// Clear, unmount, reserve this much, mount
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with_all = ["reserve", "clear", "mount", "unmount"])]
    setup: Option<Bytes>,
    /// Where the file system is mounted
    #[arg(short = 'd', long, value_name = "DIR", default_value = "/dev/hugepages")]
    directory: PathBuf,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    pages: Vec<Pages>,
    mounts: Vec<mounts::Mount>,
}

/// Runs the command.
pub(crate) fn run(args: &HugepagesArgs) -> Result<(), Fault> {
    let root = Path::new("/");
    let (clear, unmount, mount) = match args.setup {
        Some(_) => (true, true, true),
        None => (args.clear, args.unmount, args.mount),
    };
    let reserve = args.setup.or(args.reserve);
    if (args.pagesize.is_some() || args.node.is_some()) && reserve.is_none() && !mount {
        return Err(Fault::Usage(
            "--pagesize and --node say how to reserve or mount: add --reserve or --mount".into(),
        ));
    }
    let page = match args.pagesize {
        Some(page) => page,
        None if reserve.is_some() || mount => pages::default_size(root)?,
        None => Bytes(0),
    };
    // What cannot be is refused before anything is given back.
    let plan = reserve.map(|amount| Reserve::plan(root, amount, page, args.node)).transpose()?;
    if mount {
        mounts::check(root, &args.directory)?;
    }
    let say = |text: String| if args.json { crate::note!("{text}") } else { out!("{text}") };
    if clear {
        match args.dry_run {
            true => say("would give back all hugepages".into()),
            false => pages::clear(root)?,
        }
    }
    if unmount {
        match args.dry_run {
            true => say(format!("would unmount {}", args.directory.display())),
            false => mounts::unmount(root, &args.directory)?,
        }
    }
    if let Some(plan) = &plan {
        match args.dry_run {
            true => plan.lines().into_iter().for_each(|line| say(format!("would {line}"))),
            false => plan.carry_out()?,
        }
    }
    if mount {
        match args.dry_run {
            true => say(format!("would mount pages of {page} at {}", args.directory.display())),
            false => mounts::mount(root, &args.directory, page)?,
        }
    }
    let acted = clear || unmount || mount || plan.is_some();
    if args.show || !acted { show(root, args.json) } else { Ok(()) }
}

fn show(root: &Path, json: bool) -> Result<(), Fault> {
    let shown = Shown { pages: pages::all(root), mounts: mounts::all(root) };
    if json {
        return output::json(&shown);
    }
    out!("{:<5} {:<7} {:<7} {:<8} {}", "Node", "Pages", "Free", "Size", "Total");
    for pages in shown.pages.iter().filter(|pages| pages.total != 0) {
        let node = pages.node.map_or("-".to_owned(), |node| node.to_string());
        let whole = Bytes(pages.size.0.saturating_mul(pages.total));
        out!("{node:<5} {:<7} {:<7} {:<8} {whole}", pages.total, pages.free, pages.size.to_string());
    }
    match &shown.mounts[..] {
        [] => out!("\nHugepages not mounted"),
        mounts => {
            let paths: Vec<String> = mounts.iter().map(|mount| mount.path.display().to_string()).collect();
            out!("\nHugepages mounted on {}", paths.join(" "));
        }
    }
    Ok(())
}
