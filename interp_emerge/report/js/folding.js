// Supernodes: heads that play one role, in a layer or in the whole graph, become one node. Its edges have the sums of
// the effects. Of a head with several roles the first counts. A supernode's name is "fold:ROLE:LAYER", with the layer in
// which it is drawn.
function supernodeOf(name) {
  const match = /^fold:(.*):(\d+)$/.exec(name);
  return match && { role: match[1], layer: Number(match[2]) };
}

// The supernodes that edges allow, by name, with their members; without `within` there are none.
function supernodes(edges, rolesOf, within) {
  const heads = [...new Set(edges.flatMap((edge) => [edge.writer, targetOf(edge.reader).node]))].map(partsOf).filter((node) => node.kind === "head");
  const byRole = new Map();
  for (const head of heads) {
    const role = rolesOf(head.node)[0]?.role;
    const key = role && (within === "layer" ? `${role} ${head.layer}` : role);
    if (key && within) byRole.set(key, [...(byRole.get(key) || []), { ...head, role }]);
  }
  const found = new Map();
  for (const members of byRole.values()) {
    if (members.length < 2) continue;
    members.sort((a, b) => a.rank - b.rank || a.index - b.index);
    const middle = members[Math.floor((members.length - 1) / 2)];
    found.set(`fold:${middle.role}:${middle.layer}`, members.map((head) => head.node));
  }
  return found;
}

// The edges with the members of some supernodes folded. Edges that then have the same ends and input become one, with
// these edges in `of`; edges within a supernode are not drawn.
function foldEdges(edges, folded) {
  const groupOf = new Map([...folded].flatMap(([name, members]) => members.map((member) => [member, name])));
  const whole = new Map();
  for (const edge of edges) {
    const { node, input } = targetOf(edge.reader);
    const [writer, target] = [groupOf.get(edge.writer) || edge.writer, groupOf.get(node) || node];
    if (writer === target) continue;
    const reader = target === node ? edge.reader : `${target}.${input}`;
    const key = writer + " → " + reader;
    if (!whole.has(key)) whole.set(key, { writer, reader, of: [] });
    whole.get(key).of.push(edge);
  }
  return [...whole.values()].map((edge) => {
    const [only] = edge.of;
    if (edge.of.length === 1) return { ...only, writer: edge.writer, reader: edge.reader };
    return { ...edge, score: edge.of.reduce((sum, one) => sum + one.score, 0) };
  });
}

// What a node is called where a name has room: a supernode by its members.
function nodeWords(name, folded) {
  const group = supernodeOf(name);
  return group ? `${folded.get(name).length} heads, ${spaced(group.role)}: ${folded.get(name).join(", ")}` : name;
}

// Whether a node's name, its roles and its members contain every word that the reader seeks; "and" and "+1" are no words.
function isSought(name, rolesOf, folded, sought) {
  const roles = (folded.get(name) || [name]).flatMap((member) => rolesOf(member)).map((one) => spaced(one.role));
  const text = [nodeWords(name, folded), ...roles].join(" ").toLowerCase();
  const terms = sought.split(/\s+|,/).filter((term) => term && term !== "and" && !/^\+\d+$/.test(term));
  return terms.length > 0 && terms.every((term) => text.includes(term));
}
