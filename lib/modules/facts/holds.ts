// When a fact holds, as a condition of SQL.

/**
 * The SQL condition that a fact holds at an instant, which is its one parameter. The schema keeps `expires_at` in the
 * form that `toISOString` gives, so comparing texts compares instants. A text in another form is damaged: its row
 * matches, so that whoever reads it gets the error, whereas a text such as '' would compare as expired long ago and
 * hide the damage.
 */
export const holds =
  "(expires_at IS NULL OR expires_at > ? OR expires_at IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', expires_at))";
