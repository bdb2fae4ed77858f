mod contract;
mod device;
mod fields;
mod rows;
mod world;
