//! `pmd bind`, `pmd unbind`, `pmd status`: which driver holds a device, and giving it to another one.
//!
//! The options are those of DPDK's `dpdk-devbind` and of OPAE's `opaevfio`. What is done to a device is planned by
//! [`vfio_hal::pci::discovery`] for all devices before the first one is touched; `--dry-run` ends there.

mod options;
mod owner;
mod status;

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;
use vfio_hal::Bdf;
use vfio_hal::pci::discovery::{BindError, BindOptions, Carried, Owner, Plan, System};

use crate::fault::Fault;
use crate::{note, out, output};

use options::ChangeArgs;
pub(crate) use options::{BindArgs, Root, StatusArgs, UnbindArgs, rewrite};
pub(crate) use status::list;

/// The driver that hands devices to user space.
const VFIO: &str = "vfio-pci";

/// What is done to every device named.
enum Action<'a> {
    Bind { driver: &'a str, options: BindOptions },
    Unbind { force: bool },
    Release { driver: Option<&'a str>, force: bool },
    Functions { count: u16 },
}

/// What one device came to.
#[derive(Serialize)]
struct Outcome {
    address: String,
    driver_before: Option<String>,
    driver: Option<String>,
    /// The files to open it by.
    files: Vec<String>,
    /// Its virtual functions.
    functions: Vec<String>,
    /// Others of its IOMMU group that keep VFIO from giving it out.
    blockers: Vec<String>,
}

/// Runs `pmd bind`.
pub(crate) fn run(args: &BindArgs) -> Result<(), Fault> {
    let system = args.change.root.system();
    if args.devices.is_empty() {
        return match args.asks_for_status_only() {
            true => status::run(&system, &[], args.change.json),
            false => {
                Err(Fault::Usage("name the devices, such as 0000:01:00.0; `pmd status` lists them".into()))
            }
        };
    }
    args.change.root.check(args.change.dry_run || args.asks_for_status_only())?;
    let devices = resolve(&system, &args.devices)?;
    let mut actions = Vec::new();
    match args.driver()? {
        options::To::Driver(driver) => {
            let owner = owner::of(args.user.as_deref(), args.group.as_deref())?;
            let options = BindOptions::new(driver)
                .force(args.change.force)
                .no_iommu(args.noiommu_mode)
                .sriov(args.vfs.is_some_and(|count| count != 0) && !args.no_sriov)
                .owner(owner);
            actions.push(Action::Bind { driver, options });
            if owner != Owner::default() {
                tell_of_iommu(&system, args.change.root.dir());
            }
        }
        options::To::None => actions.push(Action::Unbind { force: args.change.force }),
        options::To::Previous(driver) => actions.push(Action::Release { driver, force: args.change.force }),
        options::To::AsItIs => {}
    }
    if let Some(count) = args.vfs {
        actions.push(Action::Functions { count });
    }
    for action in actions {
        act(&system, &devices, &action, &args.change)?;
    }
    if args.status { status::run(&system, &devices, args.change.json) } else { Ok(()) }
}

/// Runs `pmd unbind`.
pub(crate) fn run_unbind(args: &UnbindArgs) -> Result<(), Fault> {
    let system = args.change.root.system();
    args.change.root.check(args.change.dry_run)?;
    let devices = resolve(&system, &args.devices)?;
    let action = Action::Release { driver: args.driver.as_deref(), force: args.change.force };
    act(&system, &devices, &action, &args.change)
}

/// Runs `pmd status`.
pub(crate) fn run_status(args: &StatusArgs) -> Result<(), Fault> {
    let system = args.root.system();
    let devices = resolve(&system, &args.devices)?;
    status::run(&system, &devices, args.json)
}

fn resolve(system: &System, names: &[String]) -> Result<Vec<Bdf>, Fault> {
    let mut all: Vec<Bdf> = Vec::new();
    for name in names {
        let address = system.resolve(name).map_err(|error| Fault::Usage(error.to_string()))?;
        if !all.contains(&address) {
            all.push(address);
        }
    }
    Ok(all)
}

fn act(system: &System, devices: &[Bdf], action: &Action<'_>, change: &ChangeArgs) -> Result<(), Fault> {
    let (dry, json) = (change.dry_run, change.json);
    if let Action::Bind { driver, .. } = action
        && !dry
    {
        load(driver);
    }
    // All of them are looked at before the first one is changed.
    let plans: Vec<Plan> =
        devices.iter().map(|&address| plan(system, address, action)).collect::<Result<_, _>>()?;
    if dry {
        return show(&plans, json);
    }
    let mut outcomes = Vec::new();
    for plan in &plans {
        let before = system.device(plan.address()).map_err(BindError::from)?.driver;
        let carried = system.carry_out(plan)?;
        let outcome = outcome(system, before, carried)?;
        if !json {
            tell(plan, &outcome);
        }
        outcomes.push(outcome);
    }
    if json { output::json(&outcomes) } else { Ok(()) }
}

fn plan(system: &System, address: Bdf, action: &Action<'_>) -> Result<Plan, BindError> {
    match action {
        Action::Bind { options, .. } => system.plan_bind(address, options),
        Action::Unbind { force } => system.plan_unbind(address, *force),
        Action::Release { driver, force } => system.plan_release(address, *driver, *force),
        Action::Functions { count } => system.plan_functions(address, *count),
    }
}

fn show(plans: &[Plan], json: bool) -> Result<(), Fault> {
    #[derive(Serialize)]
    struct Planned {
        address: String,
        steps: Vec<String>,
    }
    let planned = plans.iter().map(|plan| Planned {
        address: plan.address().to_string(),
        steps: plan.steps().iter().map(ToString::to_string).collect(),
    });
    let planned: Vec<Planned> = planned.collect();
    if json {
        return output::json(&planned);
    }
    for Planned { address, steps } in planned {
        out!("{address}: {}", if steps.is_empty() { "nothing to do" } else { "would" });
        steps.iter().for_each(|step| out!("  {step}"));
    }
    Ok(())
}

fn outcome(system: &System, driver_before: Option<String>, carried: Carried) -> Result<Outcome, Fault> {
    let functions = system.device(carried.address).map_err(BindError::from)?.functions;
    let functions = functions.map(|functions| functions.addresses).unwrap_or_default();
    Ok(Outcome {
        address: carried.address.to_string(),
        driver_before,
        driver: carried.driver,
        files: carried.files.paths().map(|path| path.display().to_string()).collect(),
        functions: functions.iter().map(Bdf::to_string).collect(),
        blockers: carried.blockers.iter().map(|(address, driver)| format!("{address} ({driver})")).collect(),
    })
}

fn tell(plan: &Plan, outcome: &Outcome) {
    let Outcome { address, driver_before, driver, files, functions, blockers } = outcome;
    let name = |driver: &Option<String>| driver.clone().unwrap_or_else(|| "no driver".into());
    match driver_before == driver {
        true if plan.is_empty() => out!("{address}: {}, nothing to do", name(driver)),
        true => out!("{address}: {}", name(driver)),
        false => out!("{address}: {} -> {}", name(driver_before), name(driver)),
    }
    if !files.is_empty() {
        out!("  opened by {}; back with `pmd unbind {address}`", files.join(" and "));
    }
    if !functions.is_empty() {
        out!("  virtual functions: {}", functions.join(" "));
    }
    if !blockers.is_empty() {
        note!(
            "  {address} cannot be opened yet: {} of its IOMMU group must be bound to {VFIO} too, or unbound",
            blockers.join(", ")
        );
    }
}

/// Loads a driver that is a module, as far as that can be done: what is missing afterwards is told by the plan.
fn load(driver: &str) {
    let there = Path::new("/sys/bus/pci/drivers").join(driver).exists();
    if !there && !driver.starts_with('-') {
        let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = quiet(Command::new("modprobe").arg("--").arg(driver));
    }
}

/// Tells an owner of device files that one file more is needed for iommufd.
fn tell_of_iommu(system: &System, root: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = root.join("dev/iommu");
    let mode = std::fs::metadata(&path).map_or(0o666, |meta| meta.permissions().mode());
    if mode & 0o006 != 0o006 && system.no_iommu_mode().is_some() {
        note!(
            "{} is not for everybody: without it the device is opened by its group; `chmod 666 {}` allows iommufd, which gives \
             away no device by itself",
            path.display(),
            path.display()
        );
    }
}
