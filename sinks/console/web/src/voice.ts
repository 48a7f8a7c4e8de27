// One machine has one voice: of the pages open on it, one sounds. Pure; the
// browser's channel between pages is sounding.ts.

export interface Peer {
  id: string;
  /** Its browser lets it sound. */
  able: boolean;
  visible: boolean;
}

export const VOICE_EVERY = 1_000;
/** A page that says nothing for so long has gone, or is asleep. */
export const VOICE_LOST = 3_500;

export class Voice {
  private readonly peers = new Map<string, { peer: Peer; heard: number }>();

  heard(peer: Peer, now: number): void {
    this.peers.set(peer.id, { peer, heard: now });
  }

  /** Whether it is this page that sounds. Silence of all is worse than two voices: in doubt it is. */
  speaks(own: Peer, now: number): boolean {
    for (const [id, { peer, heard }] of this.peers) {
      if (now - heard > VOICE_LOST) this.peers.delete(id);
      else if (before(peer, own)) return false;
    }
    return true;
  }
}

/** Who can sound goes before who cannot, who is looked at before who is not. */
function before(a: Peer, b: Peer): boolean {
  if (a.able !== b.able) return a.able;
  if (a.visible !== b.visible) return a.visible;
  return a.id < b.id;
}
