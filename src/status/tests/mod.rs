mod contract;
mod device;
mod fields;
mod monitoring;
mod rows;
mod schema;
mod world;
