// The version of this package, for what is shown or written by code that a bundler may have put anywhere: beside that,
// there need be no package.json.

export const packageVersion = '0.1.0';
