// What stands in the built JavaScript in the place of lib/core/sql-files.ts: it holds the texts of schema.sql and of
// the steps, because a bundle, a single executable or a lone copy of the code has no files beside it.
import { migrations, readSql } from '../lib/core/sql-files.ts';

/** A statement ends at a semicolon whose next line begins another one; the lines inside a trigger are indented. */
const betweenStatements = /(?<=;)\n(?!\s|END;)/;

/**
 * The JavaScript of the module. A statement that stands in several files, as that of a table stands in schema.sql and
 * in its step, is in it once. Comments are left out: SQLite keeps a text from CREATE on, and none of them is inside it.
 */
export function sqlFilesModule(): string {
  const files = ['schema.sql', ...migrations.flatMap(({ up, down }) => [up, down])];
  const statements = new Map<string, number>();
  const places = files.map((file) => [file, statementsOf(file).map((statement) => {
    const place = statements.get(statement) ?? statements.size;
    statements.set(statement, place);
    return place;
  })]);
  return `const statements = [\n${[...statements.keys()].map(quoted).join(',\n')},\n];
const files = ${JSON.stringify(Object.fromEntries(places))};
export const migrations = ${JSON.stringify(migrations)};
export function readSql(file) {
  return files[file].map((place) => statements[place]).join('\\n');
}
`;
}

/** `readSql` refuses a file that is not as its first line says, so that nothing else is ever built in. */
function statementsOf(file: string): string[] {
  return readSql(file).replace(/^(--.*)?\n/gm, '').trimEnd().split(betweenStatements);
}

/** The line breaks of a statement stay in a template as they are. */
function quoted(statement: string): string {
  return `\`${statement.replace(/[\\`]|\$(?=\{)/g, '\\$&')}\``;
}
