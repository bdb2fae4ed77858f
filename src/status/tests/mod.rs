mod contract;
mod fields;
mod rows;
mod world;
