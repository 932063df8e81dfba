//! DEVICE_FEATURE: migration states and the log of written pages.
//!
//! A feature is read, set or asked for; what the server does not know goes to the model.

use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::Server;
use super::dirty::DirtyLog;
use super::dma::PAGE;
use super::info::Answer;
use crate::model::{DeviceModel, FeatureError, FeatureRequest};
use crate::proto::feature::{
    DeviceState, FEATURE_DEVICE_STATE, FEATURE_LOGGING_REPORT, FEATURE_LOGGING_START, FEATURE_LOGGING_STOP,
    FEATURE_MIGRATION, LoggingRange, LoggingReport, LoggingStart, MIGRATION_PRE_COPY, MIGRATION_STOP_COPY,
    MigrationState as State,
};
use crate::proto::wire::{FEATURE_GET, FEATURE_PROBE, FEATURE_SET, Feature, MigrationData};

/// Ranges in one request to log.
const MAX_RANGES: u32 = 4096;

impl<M: DeviceModel> Server<M> {
    pub(super) fn feature(&mut self, body: &[u8]) -> Result<Answer, Errno> {
        let (request, data) = Feature::read_from_prefix(body).map_err(|_| Errno::INVAL)?;
        const KNOWN: u32 = 0xffff | FEATURE_GET | FEATURE_SET | FEATURE_PROBE;
        let wanted = FeatureRequest {
            index: request.flags as u16,
            get: request.flags & FEATURE_GET != 0,
            set: request.flags & FEATURE_SET != 0,
            probe: request.flags & FEATURE_PROBE != 0,
        };
        let one = wanted.probe || (wanted.get != wanted.set);
        if request.flags & !KNOWN != 0 || !one || (request.argsz as usize) < size_of::<Feature>() {
            return Err(Errno::INVAL);
        }
        if wanted.probe {
            self.probe(wanted)?;
            return Ok(Answer { body: body.to_vec(), fds: Vec::new() });
        }
        let reply = match (wanted.index, wanted.get) {
            (FEATURE_MIGRATION, true) => self.migration_flags()?.as_bytes().to_vec(),
            (FEATURE_DEVICE_STATE, true) => {
                self.migration_flags()?;
                let state = self.migration.state() as u32;
                DeviceState { state, data_fd: 0 }.as_bytes().to_vec()
            }
            (FEATURE_DEVICE_STATE, false) => {
                let wish = DeviceState::read_from_bytes(data).map_err(|_| Errno::INVAL)?;
                self.change_state(State::try_from(wish.state).map_err(|_| Errno::INVAL)?)?;
                data.to_vec()
            }
            (FEATURE_LOGGING_START, false) => self.start_logging(data)?,
            (FEATURE_LOGGING_STOP, false) => {
                self.core.log.set(None).ok_or(Errno::INVAL)?;
                data.to_vec()
            }
            (FEATURE_LOGGING_REPORT, true) => self.report(data)?,
            (
                FEATURE_MIGRATION | FEATURE_LOGGING_START | FEATURE_LOGGING_STOP | FEATURE_LOGGING_REPORT,
                _,
            ) => {
                return Err(Errno::INVAL);
            }
            _ => self.model_feature(wanted, data)?,
        };
        let need = size_of::<Feature>() + reply.len();
        let head = Feature { argsz: need as u32, flags: request.flags };
        let mut body = head.as_bytes().to_vec();
        // A client without room learns how much it needs.
        if need <= request.argsz as usize || wanted.set {
            body.extend_from_slice(&reply);
        }
        Ok(Answer { body, fds: Vec::new() })
    }

    fn probe(&mut self, wanted: FeatureRequest) -> Result<(), Errno> {
        let possible = match wanted.index {
            FEATURE_MIGRATION => !wanted.set && self.migration_flags().is_ok(),
            FEATURE_DEVICE_STATE => self.migration_flags().is_ok(),
            FEATURE_LOGGING_START | FEATURE_LOGGING_STOP => !wanted.get,
            FEATURE_LOGGING_REPORT => !wanted.set,
            _ => return self.model_feature(wanted, &[]).map(drop),
        };
        if possible { Ok(()) } else { Err(Errno::NOTTY) }
    }

    fn model_feature(&mut self, wanted: FeatureRequest, data: &[u8]) -> Result<Vec<u8>, Errno> {
        let Server { model, core, options, .. } = self;
        let reply = model.feature(&mut core.context(), wanted, data).map_err(|error| match error {
            FeatureError::Unknown => Errno::NOTTY,
            FeatureError::Invalid => Errno::INVAL,
        })?;
        if reply.len() > options.max_data_xfer_size as usize { Err(Errno::FBIG) } else { Ok(reply) }
    }

    fn migration_flags(&mut self) -> Result<u64, Errno> {
        let migration = self.model.migration().ok_or(Errno::NOTTY)?;
        Ok(if migration.pre_copy() { MIGRATION_STOP_COPY | MIGRATION_PRE_COPY } else { MIGRATION_STOP_COPY })
    }

    fn start_logging(&mut self, data: &[u8]) -> Result<Vec<u8>, Errno> {
        let (start, rest) = LoggingStart::read_from_prefix(data).map_err(|_| Errno::INVAL)?;
        let (ranges, tail) = rest.as_chunks::<{ size_of::<LoggingRange>() }>();
        let fits = start.ranges as usize == ranges.len() && tail.is_empty();
        if !fits || start.ranges > MAX_RANGES || self.core.log.is_on() {
            return Err(Errno::INVAL);
        }
        let mut logged = Vec::new();
        for bytes in ranges {
            let range = LoggingRange::read_from_bytes(bytes).map_err(|_| Errno::INVAL)?;
            let more = range.len.checked_sub(1).ok_or(Errno::INVAL)?;
            logged.push((range.iova, range.iova.checked_add(more).ok_or(Errno::INVAL)?));
        }
        let log = DirtyLog::new(start.page_size, logged);
        let mut reply = LoggingStart { page_size: log.page(), ..start }.as_bytes().to_vec();
        reply.extend_from_slice(rest);
        self.core.log.set(Some(log));
        Ok(reply)
    }

    fn report(&mut self, data: &[u8]) -> Result<Vec<u8>, Errno> {
        let report = LoggingReport::read_from_bytes(data).map_err(|_| Errno::INVAL)?;
        let LoggingReport { iova, len, page_size } = report;
        let whole =
            page_size.is_power_of_two() && page_size >= PAGE && len > 0 && iova.is_multiple_of(page_size);
        if !whole || iova.checked_add(len - 1).is_none() {
            return Err(Errno::INVAL);
        }
        if len.div_ceil(page_size).div_ceil(64) * 8 > u64::from(self.options.max_data_xfer_size) {
            return Err(Errno::FBIG);
        }
        let bitmap = self.core.log.with(|log| log.take(iova, len, page_size)).ok_or(Errno::INVAL)?;
        let mut reply = report.as_bytes().to_vec();
        reply.extend(bitmap.iter().flat_map(|word| word.to_ne_bytes()));
        Ok(reply)
    }

    pub(super) fn migration_read(&mut self, body: &[u8]) -> Result<Answer, Errno> {
        let request = MigrationData::read_from_bytes(body).map_err(|_| Errno::INVAL)?;
        let room = (request.argsz as usize).checked_sub(size_of::<MigrationData>()).ok_or(Errno::INVAL)?;
        let size = request.size as usize;
        if size > room || size > self.options.max_data_xfer_size as usize {
            return Err(Errno::INVAL);
        }
        let data = self.save(size)?;
        let argsz = (size_of::<MigrationData>() + data.len()) as u32;
        let mut body = MigrationData { argsz, size: data.len() as u32 }.as_bytes().to_vec();
        body.extend_from_slice(&data);
        Ok(Answer { body, fds: Vec::new() })
    }

    pub(super) fn migration_write(&mut self, body: &[u8]) -> Result<Answer, Errno> {
        let (request, data) = MigrationData::read_from_prefix(body).map_err(|_| Errno::INVAL)?;
        if request.size as usize != data.len() || data.len() > self.options.max_data_xfer_size as usize {
            return Err(Errno::INVAL);
        }
        self.restore(data)?;
        Ok(Answer { body: Vec::new(), fds: Vec::new() })
    }
}
