// How far the report can be trusted: whether the log verifies, and of what and when the report was made.
import type { Proof } from './contents.ts';
import type { Frame } from './frame.ts';
import { type Content, given, type Html, html } from './html.ts';

/** So many problems are named. */
const named = 50;

/** What the log's own check says, and what the report was made of. */
export function drawProof(frame: Frame): Content {
  const { contents, texts } = frame;
  const { day, time } = frame.moment(contents.madeAt);
  const { package: version, schema, node, sqlite } = contents.versions;
  const [ours, nodes, sqlites] = [version, node, sqlite].map((each) => given(each, 40));
  const shown = texts.versionsOf({ package: ours!, schema, node: nodes!, sqlite: sqlites! });
  const { value } = contents.proof;
  const note = value ? undefined : frame.part(contents.proof, () => undefined);
  return html`${note}<dl class="facts">${value && proofFacts(frame, value)}${
    fact(texts.store, given(contents.uuid, 60))
  }${fact(texts.timeZone, given(contents.timeZone, 60))}${fact(texts.madeAt, `${frame.fullDay(day)} ${time}`)}${
    fact(texts.versions, shown)
  }</dl>`;
}

function fact(name: string, content: Content): Html {
  return html`<div><dt>${name}</dt><dd>${content}</dd></div>
`;
}

function proofFacts({ texts }: Frame, proof: Proof): Content {
  const { ok, checkedRows, anchor, archivedId, problems } = proof;
  const verdict = ok
    ? html`<strong class="ok">${texts.verifies(checkedRows)}</strong>`
    : html`<strong class="bad">${texts.doesNotVerify(checkedRows)}</strong>`;
  const items = problems.slice(0, named).map((each) => html`<li>${given(each)}</li>`);
  const more = problems.length > named && html`<li>+ ${problems.length - named}</li>`;
  const list = problems.length > 0 && html`<ul>${items}${more}</ul>`;
  const behind = archivedId !== undefined && archivedId > 0 && html`<br/>${texts.archivedUpTo(archivedId)}`;
  const use = html`<br/><span class="quiet">${texts.anchorUse}</span>`;
  const kept = anchor ? html`<code>${anchor.id}:${given(anchor.hash, 80)}</code>${use}` : texts.noAnchor;
  return [fact(texts.log, [verdict, behind, list]), fact(texts.anchor, kept)];
}
