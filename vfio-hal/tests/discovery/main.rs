//! Finding PCI devices and giving them to drivers, on a machine made of files, with a kernel that answers writes as Linux
//! does.

mod bind;
mod fake;
mod find;
mod hostile;
