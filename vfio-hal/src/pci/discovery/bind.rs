//! Giving a device to another driver: what must be true, and what is written.

use core::fmt;

use super::error::BindError;
use super::name::Name;
use super::plan::{Plan, Step};
use super::state::Before;
use super::{Found, Holder, NO_IOMMU, System, device};
use crate::addr::Bdf;

/// The switch that lets vfio-pci make virtual functions, below the root.
const VFIO_SRIOV: &str = "sys/module/vfio_pci/parameters/enable_sriov";

/// How a device is given to a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindOptions {
    driver: String,
    force: bool,
    no_iommu: bool,
    sriov: bool,
    owner: Owner,
}

/// Who may open the device files; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub user: Option<u32>,
    /// Group id.
    pub group: Option<u32>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.user, self.group) {
            (Some(user), Some(group)) => write!(f, "user {user}, group {group}"),
            (Some(user), None) => write!(f, "user {user}"),
            (None, Some(group)) => write!(f, "group {group}"),
            (None, None) => f.write_str("nobody else"),
        }
    }
}

impl BindOptions {
    /// Gives the device to `driver`.
    pub fn new(driver: impl Into<String>) -> BindOptions {
        BindOptions {
            driver: driver.into(),
            force: false,
            no_iommu: false,
            sriov: false,
            owner: Owner::default(),
        }
    }

    /// Takes the device though its interface is in use, or its virtual functions vanish.
    pub fn force(mut self, on: bool) -> BindOptions {
        self.force = on;
        self
    }

    /// Lets VFIO take a device without an IOMMU: the program that drives it can write to all memory.
    pub fn no_iommu(mut self, on: bool) -> BindOptions {
        self.no_iommu = on;
        self
    }

    /// Lets vfio-pci make virtual functions. Whoever has the device can then make devices that a kernel driver takes.
    pub fn sriov(mut self, on: bool) -> BindOptions {
        self.sriov = on;
        self
    }

    /// Says who may open the device files.
    pub fn owner(mut self, owner: Owner) -> BindOptions {
        self.owner = owner;
        self
    }
}

impl System {
    /// Returns what gives the device at `address` to another driver.
    pub fn plan_bind(&self, address: Bdf, options: &BindOptions) -> Result<Plan, BindError> {
        let found = self.device(address)?;
        let driver = &options.driver;
        if found.is_bridge() {
            return Err(BindError::Bridge { address });
        }
        let known = !driver.is_empty() && !driver.contains('/') && !driver.starts_with('.');
        if !known || !self.path("sys/bus/pci/drivers").join(driver).is_dir() {
            return Err(BindError::NoDriver { driver: Name::new(driver) });
        }
        let mut plan = Plan::new(address, found.driver.clone());
        let vfio = device::is_vfio(driver);
        let mut before = self.before(address).unwrap_or_else(|| as_it_is(&found));
        if vfio {
            self.allow_no_iommu(&found, options, &mut plan, &mut before)?;
            if options.sriov && self.sriov_is_off() {
                before.sriov = true;
                plan.steps.push(self.write_step(VFIO_SRIOV, "Y", "SR-IOV of vfio-pci"));
            }
        }
        if found.driver.as_ref() != Some(driver) {
            self.check_free(&found, options.force)?;
            // Written first: whatever happens later, it is known what to go back to.
            plan.steps.insert(0, self.remember_step(address, &before));
            plan.steps.extend(self.unbind_steps(&found));
            plan.steps.extend(self.take_steps(address, driver, before.driver_override.as_deref()));
            plan.steps.push(Step::Expect { driver: Some(driver.clone()) });
            plan.undo = self.way_back(&found);
        } else if !plan.steps.is_empty() {
            plan.steps.insert(0, self.remember_step(address, &before));
        }
        if vfio && options.owner != Owner::default() {
            plan.steps.push(Step::Own { owner: options.owner });
        }
        Ok(plan)
    }

    /// Returns what takes the device at `address` from its driver and leaves it without one.
    pub fn plan_unbind(&self, address: Bdf, force: bool) -> Result<Plan, BindError> {
        let found = self.device(address)?;
        let mut plan = Plan::new(address, found.driver.clone());
        if found.driver.is_some() {
            self.check_free(&found, force)?;
            let before = self.before(address).unwrap_or_else(|| as_it_is(&found));
            plan.steps.push(self.remember_step(address, &before));
            plan.steps.extend(self.unbind_steps(&found));
        }
        Ok(plan)
    }

    /// Returns what gives the device at `address` back: to `driver`, or to the one that had it before, or to whichever the
    /// kernel chooses. What was switched on for it is switched off.
    pub fn plan_release(&self, address: Bdf, driver: Option<&str>, force: bool) -> Result<Plan, BindError> {
        let found = self.device(address)?;
        let known = self.before(address);
        let mut plan = Plan::new(address, found.driver.clone());
        let before = known.clone().unwrap_or_default();
        let had_none = known.is_some() && before.driver.is_none();
        let target = driver.map(str::to_owned).or_else(|| before.driver.clone());
        if let Some(driver) = &target
            && !self.path("sys/bus/pci/drivers").join(driver).is_dir()
        {
            return Err(BindError::NoDriver { driver: Name::new(driver) });
        }
        let there = match &target {
            Some(target) => found.driver.as_ref() == Some(target),
            None if had_none => found.driver.is_none(),
            // Nothing is known: a device that the kernel uses needs nothing.
            None => found.holder() == Holder::Kernel,
        };
        if !there {
            self.check_free(&found, force)?;
            plan.undo = self.way_back(&found);
            plan.steps.extend(self.unbind_steps(&found));
            match &target {
                Some(driver) => {
                    plan.steps.extend(self.take_steps(address, driver, before.driver_override.as_deref()));
                }
                None if had_none => {}
                None => plan.steps.extend([self.override_step(address, ""), self.probe_step(address)]),
            }
            if target.is_some() || !had_none {
                plan.steps.push(Step::Expect { driver: target });
            }
        }
        let lasting = before.driver_override.as_deref();
        if !there || found.driver_override.as_deref() != lasting {
            plan.steps.push(self.override_step(address, lasting.unwrap_or_default()));
        }
        if before.no_iommu {
            plan.steps.push(self.write_step(NO_IOMMU, "N", "VFIO without an IOMMU"));
        }
        if before.sriov {
            plan.steps.push(self.write_step(VFIO_SRIOV, "N", "SR-IOV of vfio-pci"));
        }
        if known.is_some() {
            plan.steps.push(Step::Forget { path: self.state_path(address) });
        }
        Ok(plan)
    }

    /// Returns what makes the device at `address` have `count` virtual functions.
    pub fn plan_functions(&self, address: Bdf, count: u16) -> Result<Plan, BindError> {
        let found = self.device(address)?;
        let functions = found.functions.as_ref().ok_or(BindError::NoSriov { address })?;
        if count > functions.total {
            return Err(BindError::TooManyFunctions { address, asked: count, total: functions.total });
        }
        let driver = found.driver.as_deref().unwrap_or("no driver");
        if count != 0 && matches!(found.holder(), Holder::Uio | Holder::Nobody) {
            return Err(BindError::DriverWithoutSriov { address, driver: Name::new(driver) });
        }
        let mut plan = Plan::new(address, found.driver.clone());
        let there = functions.addresses.len();
        if there == usize::from(count) {
            return Ok(plan);
        }
        for function in &functions.addresses {
            self.check_free(&self.device(*function)?, false)?;
        }
        let file = format!("sys/bus/pci/devices/{address}/sriov_numvfs");
        if count != 0 && there != 0 {
            // The kernel changes the number only by way of none.
            plan.steps.push(self.write_step(&file, "0", "the number of virtual functions"));
        }
        plan.steps.push(self.write_step(&file, &count.to_string(), "the number of virtual functions"));
        Ok(plan)
    }

    /// Checks that nobody uses the device.
    fn check_free(&self, found: &Found, force: bool) -> Result<(), BindError> {
        let address = found.address;
        // Not even by force: the kernel would wait in the middle of the unbind until the program ends.
        if let Some(&pid) = self.users_of(&found.vfio).first() {
            return Err(BindError::Open { address, pid });
        }
        if force {
            return Ok(());
        }
        let used = found.interfaces.iter().find_map(|one| Some((one, one.in_use()?)));
        if let Some((interface, why)) = used {
            return Err(BindError::InterfaceInUse { address, interface: Name::new(&interface.name), why });
        }
        let count = found.functions.as_ref().map_or(0, |functions| functions.addresses.len()) as u32;
        if count != 0 {
            return Err(BindError::HasFunctions { address, count });
        }
        let hidden = found.is_network() && found.holder() == Holder::Kernel && found.interfaces.is_empty();
        match &found.driver {
            Some(driver) if hidden => {
                Err(BindError::InterfaceElsewhere { address, driver: Name::new(driver) })
            }
            _ => Ok(()),
        }
    }

    fn allow_no_iommu(
        &self,
        found: &Found,
        options: &BindOptions,
        plan: &mut Plan,
        before: &mut Before,
    ) -> Result<(), BindError> {
        let address = found.address;
        // A device that VFIO took without an IOMMU is in a group that VFIO made up.
        if found.iommu_group.is_some() {
            return Ok(());
        }
        match (self.no_iommu_mode(), options.no_iommu) {
            (Some(true), _) => Ok(()),
            (Some(false), true) => {
                before.no_iommu = true;
                plan.steps.push(self.write_step(NO_IOMMU, "Y", "VFIO without an IOMMU"));
                Ok(())
            }
            (None, true) => Err(BindError::NoNoIommuMode),
            (_, false) => Err(BindError::NoIommu { address }),
        }
    }

    fn sriov_is_off(&self) -> bool {
        super::text(&self.path(VFIO_SRIOV)).is_some_and(|value| value == "N" || value == "0")
    }

    /// Returns what puts the device back to how it is now, after a driver has refused it.
    fn way_back(&self, found: &Found) -> Vec<Step> {
        let address = found.address;
        let lasting = found.driver_override.as_deref();
        let mut steps = Vec::new();
        if let Some(driver) = &found.driver {
            steps.extend(self.take_steps(address, driver, lasting));
        }
        steps.push(self.override_step(address, lasting.unwrap_or_default()));
        match self.before(address) {
            None => {
                if self.no_iommu_mode() == Some(false) {
                    steps.push(self.write_step(NO_IOMMU, "N", "VFIO without an IOMMU"));
                }
                if self.sriov_is_off() {
                    steps.push(self.write_step(VFIO_SRIOV, "N", "SR-IOV of vfio-pci"));
                }
                steps.push(Step::Forget { path: self.state_path(address) });
            }
            Some(before) => steps.push(self.remember_step(address, &before)),
        }
        steps
    }

    fn unbind_steps(&self, found: &Found) -> Option<Step> {
        found.driver.as_ref()?;
        let file = format!("sys/bus/pci/devices/{}/driver/unbind", found.address);
        Some(self.write_step(&file, &found.address.to_string(), "the driver's unbind"))
    }

    /// Returns what gives a device without a driver to `driver`. A driver that takes any device is told by name which one it
    /// shall take. Any other one must know the device's ids: named by an override it would be given a device that it
    /// misreads, and may hang in it.
    fn take_steps(&self, address: Bdf, driver: &str, lasting: Option<&str>) -> [Step; 2] {
        if device::takes_any(driver) || lasting == Some(driver) {
            return [self.override_step(address, driver), self.probe_step(address)];
        }
        let file = format!("sys/bus/pci/drivers/{driver}/bind");
        [self.override_step(address, ""), self.write_step(&file, &address.to_string(), "the driver's bind")]
    }

    fn override_step(&self, address: Bdf, driver: &str) -> Step {
        let file = format!("sys/bus/pci/devices/{address}/driver_override");
        // An empty line takes it away.
        self.write_step(&file, &format!("{driver}\n"), "driver_override")
    }

    fn probe_step(&self, address: Bdf) -> Step {
        self.write_step("sys/bus/pci/drivers_probe", &address.to_string(), "drivers_probe")
    }

    fn remember_step(&self, address: Bdf, before: &Before) -> Step {
        Step::Remember { path: self.state_path(address), text: before.to_text() }
    }

    fn write_step(&self, file: &str, value: &str, what: &'static str) -> Step {
        Step::Write { path: self.path(file), value: value.to_owned(), what }
    }
}

/// How a device is that nobody gave away yet.
fn as_it_is(found: &Found) -> Before {
    Before {
        driver: found.driver.clone().filter(|driver| !device::is_vfio(driver)),
        driver_override: found.driver_override.clone().filter(|driver| !device::is_vfio(driver)),
        ..Before::default()
    }
}
