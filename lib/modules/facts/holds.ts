/**
 * The condition of a fact that holds at an instant, which is its one parameter. The schema keeps `expires_at` in the one
 * form that `toISOString` gives, so that comparing texts compares instants. In another form it is damaged, and must be met
 * by whoever reads it: a text such as '' would compare as expired long ago.
 */
export const holds = "(expires_at IS NULL OR expires_at > ? OR expires_at IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', expires_at))";
